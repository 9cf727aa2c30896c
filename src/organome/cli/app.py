"""The command line: one sub-command per step, its flags are the keywords of the step's ``run``.

Exit codes: 0 all went well; 1 a bug, with its traceback; 2 the set-up is wrong, in one line; 3
results are worse than promised; 69 the machine is at fault, elsewhere or later the same may go
well; 75 asked to stop, start again to go on; 141 nobody reads the output any more.
"""

import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final

from cyclopts import App, CycloptsError, Group, Parameter

from organome import __version__
from organome.cli.failures import note_failure
from organome.cli.terminal import log_to, progress_bars
from organome.domain.errors import Interrupted, MachineFault, SetupError

EXIT_OK: Final = 0
EXIT_BUG: Final = 1
EXIT_SETUP: Final = 2
EXIT_BROKEN_PROMISE: Final = 3
EXIT_MACHINE: Final = 69  # EX_UNAVAILABLE in sysexits.h
EXIT_INTERRUPTED: Final = 75  # EX_TEMPFAIL in sysexits.h
EXIT_PIPE: Final = 141  # as a shell reports SIGPIPE
_EXIT_CODES: Final = {
    MachineFault: EXIT_MACHINE,
    SetupError: EXIT_SETUP,
    Interrupted: EXIT_INTERRUPTED,
}

# Group, module, what it does. Imported when the command is called: torch takes seconds.
_COMMANDS: Final = {
    "Run a cohort": {
        "steps.start.init": "Begin a run: write a commented configuration into a new folder.",
        "steps.cluster.run": "List the scans, bring them through, collect the tables.",
        "steps.inspect.status": "Show what is listed, done, failed and left.",
        "steps.inspect.show": "Show the history of one scan, by its key.",
        "steps.inspect.view": "Show a picture of one scan, or open it in 3D Slicer or ITK-SNAP.",
        "steps.inspect.estimate": "Estimate what the rest costs, and how to cut it into jobs.",
        "steps.doctor.doctor": "Check whether a run can go through here, and what to do about it.",
    },
    "Over the years": {
        "steps.cluster.recompute": "Do one scan again and compare it bit by bit.",
        "steps.upkeep.retry": "Have scans done again by the next run.",
        "steps.upkeep.try_version": "Try another model or setting beside what a run has.",
        "steps.upkeep.switch": "Switch a run to such a version.",
        "steps.upkeep.freeze": "Freeze the tables as a dated, citable release.",
        "steps.upkeep.methods": "Print a methods paragraph, made from the run.",
        "steps.upkeep.withdraw": "Take participants out of a run, for good.",
    },
    "Models": {
        "steps.models.install_model": "Install a model: a published one, an archive, a folder.",
        "steps.models.verify_model": "Check that a model is still what was installed.",
        "steps.canary.make_canary": "Keep labelled scans as the reference for other machines.",
    },
    "Results": {
        "steps.report.rate": "Show the report and keep ratings in the run folder.",
        "steps.inspect.show_table": "Print rows of a table.",
        "steps.export.export": "Write a table for R, Stata, SPSS or genetics, or as statistics.",
        "steps.compare.compare": "Compare volumes with those of another tool or table.",
        "steps.compare.repeatability": "Measure how well volumes of organs repeat.",
        "steps.extract.extract": "Write labelmaps for 3D Slicer, ITK-SNAP or a DICOM archive.",
    },
    "Radiomics": {
        "steps.radiomics.measure_overlaps": "Measure twice what neighbouring stations both show.",
        "steps.radiomics.radiomics_stability": "Measure how well radiomics features repeat.",
        "steps.radiomics.export_combat": "Write radiomics features as ComBat reads them.",
    },
    "Phantoms": {
        "phantoms.make_phantoms": "Make a phantom cohort with known truth.",
    },
}

# What the rules of the workflow call: the first level of the command line, too, but not its help.
_STEPS: Final = {
    "Steps of the workflow": {
        "steps.listing.list_scans": "Deal the scans of a cohort to shards.",
        "steps.prepare.prepare_images": "Turn a shard's archives and files into checked images.",
        "steps.models.pin_model": "Note the digest of the model that a run is bound to.",
        "steps.canary.check_canary": "Compare this kind of machine with the reference scans.",
        "steps.segment.segment_organs": "Turn a shard's images into labelmaps.",
        "steps.measure.measure_volumes": "Measure the organs of a shard.",
        "steps.radiomics.measure_radiomics": "Measure the radiomics features of a shard.",
        "steps.pictures.draw_pictures": "Draw pictures of the scans of a shard.",
        "steps.collect.collect_tables": "Collect all shards into the tables of the cohort.",
        "steps.quality.check_quality": "Judge, index, score and pair what is in the tables.",
        "steps.report.write_report": "Write pages to look at a cohort, and rate its scans.",
        "steps.evaluate.evaluate_labels": "Compare a shard's labelmaps with references.",
        "steps.evaluate.write_evaluation": "Write the tables and figures of an evaluation.",
    },
    "Steps of a training": {
        "steps.train.list_cases": "List the images and references of all datasets.",
        "steps.train.build_dataset": "Write nnU-Net's dataset, and deal people to folds.",
        "steps.train.plan_training": "Have nnU-Net plan, and prepare the images.",
        "steps.train.train_fold": "Train a fold, or go on with it.",
        "steps.train.bundle_model": "Bundle the folds to a model that can be installed.",
    },
}

# Behind `organome annotate`.
_ANNOTATE: Final = {
    "export": ("export_round", "Choose scans of a run and write them for an annotator."),
    "import": ("import_round", "Take corrected labels, by the names of their segments."),
    "status": ("show_rounds", "Show what came back, and how much was changed."),
    "preview": ("draw_transform", "Draw a model's labels on a scan as it is and turned around."),
    "next": ("next_training", "Train again when enough new labels are accepted."),
}

# Behind `organome dev`, with the steps.
_TOOLS: Final = {
    "Tools of the repository": {
        "phantoms.score_phantoms": "Compare results with the truth of a phantom cohort.",
        "phantoms.annotator": "Correct a round of annotation towards the truth of phantoms.",
        "steps.doctor.compile_kernels": "Compile all loops for this processor, at install time.",
        "steps.docs.describe_tables": "Write the page on the tables.",
        "steps.docs.describe_config": "Write the page on the configuration.",
    },
}


class _OutputClosed(Exception):
    """Whoever read the output, ``head`` say, has gone."""


def build_app() -> App:
    """Build the command line without importing a step."""
    app = App(
        name="organome",
        help="Scans in, organ tables out. `organome dev` lists the steps of the workflow, too.",
        help_format="markdown",
        version=__version__,
        group_commands=Group("More", sort_key=len(_COMMANDS)),
        default_parameter=Parameter(
            consume_multiple=True,
            negative=(),
            parse=re.compile(r"^(?!on_)"),  # on_outcome and the like are for the progress bars
            name_transform=lambda name: name.lower().replace("_", "-"),  # T1FS is t1fs, not t1-fs
        ),
    )
    dev = App(name="dev", help="Steps of the workflow, one by one, and tools of the repository.")
    _add(app, _COMMANDS)
    _add(app, _STEPS, show=False)
    _add(dev, _STEPS | _TOOLS)
    app.command(dev)
    annotate = App(name="annotate", help="Rounds of annotation: scans out, corrected labels back.")
    for rank, (verb, (module, does)) in enumerate(_ANNOTATE.items()):
        place = f"organome.steps.annotate.{module}:run"
        annotate.command(place, name=verb, help=does, sort_key=rank)
    app.command(annotate)
    return app


def _add(app: App, commands: Mapping[str, Mapping[str, str]], *, show: bool = True) -> None:
    for place, (title, modules) in enumerate(commands.items()):
        group = Group(title, sort_key=place)
        for rank, (module, does) in enumerate(modules.items()):
            app.command(
                f"organome.{module}:run",
                name=module.rpartition(".")[2].replace("_", "-"),
                help=does,
                group=group,
                show=show,
                sort_key=rank,
            )


def run(tokens: Sequence[str], *, own_process: bool = False) -> int:
    """Run one sub-command and return the exit code.

    Args:
        tokens: Sub-command and its flags.
        own_process: Whether nothing else goes on in this process.
    """
    try:
        app = build_app()
        command, bound, unbound = app.parse_args(tokens, exit_on_error=False, print_error=False)
        if own_process and {"shard", "n_processes"} <= bound.signature.parameters.keys():
            from organome.shards.pool import fork_server_early

            fork_server_early()
        with progress_bars(unbound, bound.arguments) as (console, callbacks), log_to(console):
            result = command(*bound.args, **bound.kwargs, **callbacks)
        # What is done is done: a late signal must not make it a failure.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return EXIT_OK if _show(result) else EXIT_BROKEN_PROMISE
    except CycloptsError as error:
        chain = " ".join(error.command_chain or ())
        advice = f"`organome {chain} --help` shows the flags" if chain else ""
        print(f"organome: {_in_one_line(str(error))} {advice}".rstrip(), file=sys.stderr)
        return EXIT_SETUP
    except KeyboardInterrupt:
        print("organome: interrupted; start it again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except _OutputClosed:
        return EXIT_PIPE
    except Exception as error:
        return _judge(error, tokens)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _judge(error: Exception, tokens: Sequence[str]) -> int:
    """Report in one line what is wrong with machine or set-up, or who asked; the rest are bugs."""
    from organome.shards.faults import machine_faults_stop_the_job, scrubbed_traceback

    try:
        with machine_faults_stop_the_job():
            raise error
    except (MachineFault, SetupError, Interrupted) as known:
        code = next(code for kind, code in _EXIT_CODES.items() if isinstance(known, kind))
        note_failure(tokens, known, code=code)
        print(f"organome: {known}", file=sys.stderr)
        return code
    except Exception as bug:
        # Without messages: they may hold the path of a delivery, and so a participant.
        print(f"Traceback of a bug:\n{scrubbed_traceback(bug)}", end="", file=sys.stderr)
        return EXIT_BUG


def _show(result: Any) -> bool:
    """Print a step's summary; outcomes of scans stand in the log and the ledger already.

    Returns:
        False if the result holds a promise that is broken.

    Raises:
        _OutputClosed: Nobody reads it any more.
    """
    writes_itself = is_dataclass(result) and "__str__" in vars(type(result))
    try:
        if isinstance(result, str) or writes_itself:
            print(result)
        elif is_dataclass(result):
            print("\n".join(_lines(result)))
        sys.stdout.flush()
    except BrokenPipeError as error:
        # Python flushes once more at its end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _OutputClosed from error
    return bool(getattr(result, "holds", True))


def _lines(summary: Any) -> list[str]:
    values = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return [f"{name}: {'-' if value is None else value}" for name, value in values.items()]


def main() -> None:
    """Enter here from the console script."""
    sys.exit(run(sys.argv[1:], own_process=True))
