"""What a new user gets wrong: exit code 2, and one to three lines that say what to do about it."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from organome.cli import app

PARTICIPANT = "7654321"
TSV = f"participant\timage\tprotocol\n{PARTICIPANT}\timages/a.nii.gz\tct\n"
CONFIG = """\
cohort: {name: tiny, kind: folder, root: ../tsv/scans.tsv, protocols: [ct]}
segment: {source: labelmaps, contrasts: [ct], device: cpu}
"""
MODEL = "source: labelmaps"
Words = tuple[str, ...]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of each kind, a run of one, and things that are neither."""
    folder = tmp_path_factory.mktemp("world")
    for name in ("empty", "nothing", "ukb/76", f"bids/sub-{PARTICIPANT}/anat", "tsv/images"):
        (folder / name).mkdir(parents=True)
    (folder / "ukb" / "76" / f"{PARTICIPANT}_20201_2_0.zip").touch()
    (folder / f"bids/sub-{PARTICIPANT}/anat/sub-{PARTICIPANT}_T1w.nii.gz").touch()
    (folder / "tsv" / "images" / "a.nii.gz").touch()
    (folder / "tsv" / "scans.tsv").write_text(TSV)
    (folder / "levels.yaml").write_text("setting: {binwidth: 5}\n")
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").write_text(CONFIG)
    for kind, root in (("folder", "tsv/scans.tsv"), ("ukb", "ukb"), ("bids", "bids")):
        listed = listing(kind, str(folder / root), scans=f"{folder}/listed/{kind}")
        assert app.run(listed) == 0, kind
    (folder / "run_listed").mkdir()
    (folder / "run_listed" / "scans").symlink_to(folder / "listed" / "folder")
    return folder


@pytest.fixture(autouse=True)
def _inside(world: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in a world in which nobody has installed a model, or SLURM."""
    monkeypatch.chdir(world)
    monkeypatch.setenv("XDG_DATA_HOME", str(world / "nothing"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "snakemake").symlink_to(Path(sys.executable).with_name("snakemake"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def listing(kind: str, root: str, *more: str, name: str = "c", scans: str = "new/scans") -> Words:
    flags = (f"--kind={kind}", f"--cohort={name}", f"--root={root}", f"--scans={scans}")
    return ("list-scans", *flags, *more)


def init(kind: str, root: str, *more: str, folder: str = "made") -> Words:
    return ("init", folder, f"--kind={kind}", f"--root={root}", *more)


def check(words: Words, said: str, capsys: pytest.CaptureFixture[str], *, code: int = 2) -> None:
    """Run a command; it must fail as promised."""
    capsys.readouterr()
    assert app.run(words) == code
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 3, lines
    assert lines[0].startswith("organome: ")
    text = "\n".join(lines)
    assert all(part in text for part in said.split(" ... ")), text
    assert max(map(len, lines)) < 500
    assert "Traceback" not in text
    assert PARTICIPANT not in text


# By what was typed: words, and parts of what is said in return.
COMMANDS: dict[str, tuple[Words, str]] = {
    "no root": (("init", "made", "--kind=ukb"), "--root requires ... `organome init --help`"),
    "no run folder": (("status",), "RUN_FOLDER requires ... `organome status --help`"),
    "wrong root, ukb": (init("ukb", "nowhere"), "--root: nowhere: no such folder"),
    "wrong root, bids": (init("bids", "nowhere"), "--root: nowhere: no such folder"),
    "wrong root, TSV": (init("folder", "nowhere.tsv"), "--root: nowhere.tsv: no such file"),
    "root is a file, ukb": (init("ukb", "tsv/scans.tsv"), "a file; kind ukb needs the folder"),
    "root is a file, bids": (init("bids", "tsv/scans.tsv"), "a file; kind bids needs the folder"),
    "root is a folder": (init("folder", "tsv"), "a folder; kind folder needs the TSV"),
    "empty root": (init("ukb", "empty"), "--root: empty: empty; is the disk"),
    "kind unknown": (init("gnc", "ukb"), "--kind gnc ... ukb, nako, bids, folder"),
    "kind misspelt": (init("ukbb", "ukb"), "did you mean ukb?"),
    "name with a space": (init("ukb", "ukb", "--name=my cohort"), "--name my cohort: letters"),
    "scheme unknown": (init("ukb", "ukb", "--labelmaps=mine"), "'mine' is unknown: one of mrs"),
    "model and labelmaps": (
        init("ukb", "ukb", "--model=phantom", "--labelmaps=amos22"),
        "--model and --labelmaps: name one",
    ),
    "init again": (init("ukb", "ukb", folder="run"), "config.yaml: is there already; edit it"),
    "init on a file": (init("ukb", "ukb", folder="tsv/scans.tsv"), "a file; name a folder"),
    "run of nowhere": (("run", "nowhere"), "no such run folder; `organome init` makes one"),
    "run without config": (("run", "empty"), "no config.yaml in it; `organome init` makes one"),
    "status of nowhere": (("status", "nowhere"), "no such run folder; `organome init`"),
    "status of a cohort": (("status", "ukb"), "not a run folder"),
    "estimate of nowhere": (("estimate", "nowhere"), "no such run folder"),
    "doctor of nowhere": (("doctor", "nowhere"), "no such run folder; `organome init`"),
    "extract of nowhere": (("extract", "nowhere", "--output=o"), "no such run folder"),
    "extract of nothing": (("extract", "run"), "--output requires ... `organome extract --help`"),
    "extract nobody": (
        ("extract", "run_listed", "--output=o", f"--participant={PARTICIPANT}9"),
        "--participant: nobody of that name is listed in",
    ),
    "extract no scan": (
        ("extract", "run_listed", "--output=o", "--scan=0000-0009"),
        "--scan 0000-0009: no such scan in ... keys look like 0003-0017",
    ),
    "profile unknown": (("run", "run", "--workflow-profile=slrum"), "slrum ... default, slurm"),
    "no SLURM here": (("run", "run", "--workflow-profile=slurm"), "sbatch is not on this machine"),
    "command misspelt": (("sttus",), 'Did you mean "status"?'),
    "command unknown": (("segment",), 'Unknown command "segment". Available commands: init, run'),
    "flag misspelt": (("status", "run", "--wach"), "--wach. Did you mean --watch?"),
    "table of nowhere": (("show-table", "nowhere"), "nowhere: no such table"),
    "folder of tables": (("show-table", "listed"), "no Parquet file in it; name one of "),
    "not a table": (("show-table", "tsv/scans.tsv"), "not a Parquet table"),
    "column misspelt": (
        ("show-table", "listed/ukb", "--columns", "instnce"),
        "no column instnce ... did you mean instance?",
    ),
    "condition without a sign": (("show-table", "listed/ukb", "--where", "organ"), "organ=liver"),
    "condition on no column": (("show-table", "listed/ukb", "--where", "organ=x"), "no column org"),
    "condition on no number": (
        ("show-table", "listed/ukb", "--where", "station=high"),
        "high is not a number",
    ),
    "shards of nothing": (listing("ukb", "ukb", "--shard-size=0"), "shard_size: 0 must be at lea"),
    "protocol misspelt": (
        listing("ukb", "ukb", "--protocols=dixn"),
        "no scan of dixn; there are scans of dixon: set cohort.protocols",
    ),
    "another kind, ukb": (listing("ukb", "bids"), "nothing in it is named as ... kind ukb"),
    "another kind, bids": (listing("bids", "ukb"), "nothing in it is named as ... kind bids"),
    "another name, ukb": (
        listing("ukb", "ukb", name="other", scans="listed/ukb"),
        "1 of these scans are listed already, as cohort 'c': set cohort.name back",
    ),
    "another name, bids": (listing("bids", "bids", name="d", scans="listed/bids"), "as cohort 'c'"),
    "another name, TSV": (
        listing("folder", "tsv/scans.tsv", name="d", scans="listed/folder"),
        "as cohort 'c'",
    ),
    "stations changed": (
        listing("ukb", "ukb", "--stations=separate", scans="listed/ukb"),
        "listed before, not with `stations: separate`: set it back",
    ),
}


@pytest.mark.parametrize("mistake", COMMANDS)
def test_command(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(*COMMANDS[mistake], capsys)


# By what stands in the configuration: how it was changed, and parts of what is said.
CONFIGS: dict[str, tuple[str | tuple[str, str], str]] = {
    "empty": ("", "config.yaml: empty; `organome init`"),
    "a list": ("- a\n- b\n", "a configuration consists of lines `key: value`"),
    "not YAML": ("cohort: {name: x\n", "config.yaml, line 2, column 1: expected ',' or '}'"),
    "a tab": ("cohort:\n\tname: x\n", "config.yaml, line 2, column 1: a tab; indent with spaces"),
    "a key twice": (f"{CONFIG}cohort: {{name: b}}\n", "line 3, column 1: 'cohort' is there twice"),
    "section misspelt": (("cohort:", "cohrt:"), "cohrt is not a key ... did you mean cohort?"),
    "key misspelt": (("protocols", "protocol"), "did you mean cohort.protocols?"),
    "resource misspelt": (
        f"{CONFIG}resources: {{segment_organs: {{mem_gbb: 3}}}}\n",
        "did you mean resources.segment_organs.mem_gb?",
    ),
    "key of another section": (f"{CONFIG}device: cpu\n", "did you mean segment.device?"),
    "key missing": (("kind: folder, ", ""), "cohort.kind is missing"),
    "text for a number": (f"{CONFIG}shard_size: many\n", "shard_size: 'many' must be a whole num"),
    "list for a number": (f"{CONFIG}shard_size: [3]\n", "shard_size: [3] must be a whole number"),
    "text for a list": (("[ct], device", "ct, device"), "segment.contrasts: 'ct' must be a list"),
    "no shards": (f"{CONFIG}shard_size: 0\n", "shard_size: 0 must be at least 1"),
    "less than none": (f"{CONFIG}shard_size: -3\n", "shard_size: -3 must be at least 1"),
    "text for yes or no": (f"{CONFIG}keep_images: maybe\n", "keep_images: 'maybe' must be true or"),
    "number for a section": (f"{CONFIG}resources: 3\n", "resources: 3 must be a section"),
    "kind unknown": (("folder", "dicom"), "cohort.kind: 'dicom' must be one of ukb, nako, bids, f"),
    "contrast misspelt": (
        ("[ct], device", "[watr], device"),
        "'watr' must ... did you mean water?",
    ),
    "nothing to list": (("[ct]}", "[]}"), "cohort.protocols: [] must not be empty"),
    "root changed": (("../tsv/scans", "../moved/scans"), "cohort.root: ... no such file"),
    "scheme misspelt": (
        (MODEL, f"{MODEL}, scheme: amos"),
        "config.yaml: segment.scheme: ... amos22",
    ),
    "scheme file of nowhere": ((MODEL, f"{MODEL}, scheme: s.yaml"), "segment.scheme: ... s.yaml"),
    "no model": ((MODEL, "source: model"), "segment.model is missing: name an installed model"),
    "model unknown": ((MODEL, "model: mrsegmentatr"), "mrsegmentatr is not installed ... install"),
    "model misspelt": ((MODEL, "model: phanton"), "did you mean phantom?"),
    "model is a cohort": ((MODEL, "model: ../ukb"), "not a model folder (plans.json"),
    "model of nowhere": ((MODEL, "model: ../gone/model"), "segment.model: ... no such folder"),
    "phantom model": ((MODEL, "model: phantom"), "trained on phantoms ... allow_phantom_model"),
    "radiomics unknown": (
        f"{CONFIG}radiomics: {{contrasts: {{ct: mri}}}}\n",
        "radiomics.contrasts.ct: mri is neither a preset (ct, dixon, ibsi, mr) nor a file",
    ),
    "radiomics misspelt": (
        f"{CONFIG}radiomics: {{contrasts: {{wate: mr}}}}\n",
        "radiomics.contrasts: 'wate' must be one of ... did you mean water?",
    ),
    "setting of radiomics misspelt": (
        f"{CONFIG}radiomics: {{contrasts: {{ct: ../levels.yaml}}}}\n",
        "levels.yaml: setting.binwidth is not known to pyradiomics; did you mean binWidth?",
    ),
    "radiomics of what is left out": (
        f"{CONFIG}radiomics: {{contrasts: {{water: mr}}}}\nprepare: {{contrasts: [ct]}}\n",
        "radiomics.contrasts.water: prepare.contrasts leaves it out",
    ),
}


def configured(folder: Path, change: str | tuple[str, str]) -> Path:
    """Make a run folder, beside the cohorts, with a changed configuration."""
    folder.mkdir()
    text = change if isinstance(change, str) else CONFIG.replace(*change)
    assert text != CONFIG
    (folder / "config.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("mistake", CONFIGS)
def test_configuration(mistake: str, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, said = CONFIGS[mistake]
    run = configured(world / f"config {mistake}", change)
    check(("run", str(run)), said, capsys)


# By what stands in the TSV.
TABLES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "scans.tsv: no column participant and image"),
    "commas": ("participant,image\n1,a.nii.gz\n", "are the columns separated by tabs?"),
    "no rows": ("participant\timage\n", "no scan of any protocol; nothing in it"),
    "a column missing": (TSV.replace("image\t", "picture\t"), "no column image"),
    "a column misspelt": (
        TSV.replace("protocol", "protocl"),
        "column 'protocl': did you mean 'protocol'?",
    ),
    "a row twice": (TSV + TSV.splitlines()[1], "line 3: ... of scans.tsv, line 2; keep one"),
    "an image twice": (
        TSV + TSV.splitlines()[1].replace("7654321", "7654322"),
        "line 3: the image of scans.tsv, line 2, for another participant",
    ),
    "images elsewhere": (TSV.replace("images/", "pictures/"), "none of the first 1 images is the"),
    "no participant": (TSV.replace(PARTICIPANT, ""), "line 2: no participant"),
    "a spreadsheet's number": (TSV.replace(PARTICIPANT, "7.65E+06"), "export the column as text"),
    "contrast unknown": (
        TSV.replace("protocol", "contrast").replace("\tct", "\twatr"),
        "line 2: contrast 'watr' must be one of",
    ),
    "not text": (b"\xff\xfep\x00", "scans.tsv: not UTF-8 text"),
}


@pytest.mark.parametrize("mistake", TABLES)
def test_table(mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, said = TABLES[mistake]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.nii.gz").touch()
    path = tmp_path / "scans.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    check(listing("folder", str(path), scans=f"{tmp_path}/scans"), said, capsys)
    assert not (tmp_path / "scans").exists()


def refusing(call: Callable[..., Any], code: int, *, below: str) -> Callable[..., Any]:
    """Make a call of the system fail below a folder: root, who may run the tests, may do all."""

    def refuse(path: Any, *more: Any, **named: Any) -> Any:
        if str(path).startswith(below):
            raise OSError(code, os.strerror(code), str(path))
        return call(path, *more, **named)

    return refuse


def test_run_folder_that_nobody_may_write_into(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = refusing(os.mkdir, errno.EACCES, below=f"{world}/locked")
    monkeypatch.setattr(os, "mkdir", locked)
    words = init("ukb", "ukb", folder=f"{world}/locked")
    check(words, "locked: cannot be written ... name a folder elsewhere", capsys)


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_disk_that_is_full_or_read_only_is_a_fault_of_the_machine(
    code: int, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "mkdir", refusing(os.mkdir, code, below=f"{world}/full"))
    for words in (
        listing("ukb", "ukb", scans=f"{world}/full/scans"),
        init("ukb", "ukb", folder=f"{world}/full"),
    ):
        check(words, f"full ... {os.strerror(code)}", capsys, code=app.EXIT_MACHINE)


@pytest.mark.parametrize(("kind", "root"), [("ukb", "ukb"), ("bids", "bids"), ("folder", "tsv")])
def test_root_that_cannot_be_read(
    kind: str,
    root: str,
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    locked = refusing(os.stat, errno.EACCES, below=f"{world}/{root}")
    monkeypatch.setattr(os, "stat", locked)
    path = f"{world}/{root}" + ("/scans.tsv" if kind == "folder" else "")
    check(listing(kind, path), "cannot be read: Permission denied", capsys)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (f"{CONFIG}radiomics: {{contrasts: {{water: mr}}}}\n", "radiomics.contrasts: no water is"),
        (("contrasts: [ct]", "contrasts: [water, t1]"), "segment.contrasts: none of water, t1 is"),
    ],
)
def test_contrast_that_the_cohort_does_not_show(
    change: str | tuple[str, str],
    said: str,
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = configured(world / f"contrast {len(change)}", change)
    (run / "scans").symlink_to(world / "listed" / "folder")
    monkeypatch.setattr("organome.steps.cluster.rounds.Rounds.list_scans", lambda _: None)
    check(("run", str(run)), f"{said} ... in the cohort, which shows ct", capsys)
