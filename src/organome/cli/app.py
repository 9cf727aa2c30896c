"""The command line: one sub-command per step, its flags are the keywords of the step's ``run``.

Exit codes: 0 all went well; 1 a bug, with its traceback; 2 the set-up is wrong, in one line; 3
results are worse than promised; 75 asked to stop, start again to go on.
"""

import re
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from organome import __version__
from organome.cli.logs import log_to
from organome.cli.progress import progress_bars
from organome.cli.results import show
from organome.domain.errors import Interrupted, SetupError

EXIT_OK: Final = 0
EXIT_BUG: Final = 1
EXIT_SETUP: Final = 2
EXIT_BROKEN_PROMISE: Final = 3
EXIT_INTERRUPTED: Final = 75  # EX_TEMPFAIL in sysexits.h

# Name, what it does, group. The step is imported when its command is called: torch takes seconds.
_COMMANDS: Final = {
    "Pipeline": {
        "list_scans": "Deal the scans of a cohort to shards.",
        "prepare_images": "Turn a shard's archives and files into checked images.",
        "segment_organs": "Turn a shard's images into labelmaps.",
        "measure_volumes": "Measure the organs of a shard.",
        "list_measured": "Name the measured shards in a file, for collect-tables.",
        "collect_tables": "Collect all shards into the tables of the cohort.",
    },
    "Look": {
        "status": "Say what is listed, done, failed and left.",
        "show_table": "Print some rows of a table.",
    },
    "Phantoms": {
        "make_phantoms": "Make a phantom cohort with known truth.",
        "train_model": "Train the small phantom model.",
        "score_phantoms": "Compare results with the truth of a phantom cohort.",
        "score_model": "Score a model on unseen phantoms and write its card.",
    },
    "Documentation": {
        "describe_tables": "Write the page on the tables.",
        "describe_config": "Write the page on the configuration.",
    },
}


def build_app() -> App:
    """Build the command line without importing a step."""
    app = App(
        name="organome",
        help="Scans in, organ tables out.",
        version=__version__,
        default_parameter=Parameter(
            consume_multiple=True,
            negative=(),
            parse=re.compile(r"^(?!on_)"),  # on_outcome and the like are for the progress bars
            name_transform=lambda name: name.lower().replace("_", "-"),  # T1FS is t1fs, not t1-fs
        ),
    )
    for group, commands in _COMMANDS.items():
        for step, does in commands.items():
            app.command(
                f"organome.steps.{step}:run", name=step.replace("_", "-"), help=does, group=group
            )
    return app


def run(tokens: Sequence[str]) -> int:
    """Run one sub-command and return the exit code."""
    try:
        app = build_app()
        command, bound, unbound = app.parse_args(tokens, exit_on_error=False, print_error=False)
        with progress_bars(unbound, bound.arguments) as (console, callbacks), log_to(console):
            result = command(*bound.args, **bound.kwargs, **callbacks)
        # What is done is done: a late signal must not make it a failure.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return EXIT_OK if show(result) else EXIT_BROKEN_PROMISE
    except CycloptsError as error:
        print(f"organome: {error}", file=sys.stderr)
        return EXIT_SETUP
    except SetupError as error:
        print(f"organome: {error}", file=sys.stderr)
        return EXIT_SETUP
    except (Interrupted, KeyboardInterrupt) as error:
        print(f"organome: {error or 'interrupted'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception:
        traceback.print_exc()
        return EXIT_BUG


def main() -> None:
    """Enter here from the console script."""
    sys.exit(run(sys.argv[1:]))
