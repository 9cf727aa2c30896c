"""Profiles of Snakemake."""

from pathlib import Path

import pytest

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.io.slurm.profiles import SLURM, find_profile, job_profile, read_profile

SHIPPED = REPOSITORY / "profiles"


def test_shipped_profiles_name_their_executor() -> None:
    assert read_profile(SHIPPED / "slurm" / "config.yaml").executor == SLURM
    assert read_profile(SHIPPED / "default" / "config.yaml").executor is None


def test_resources_are_read_from_mappings_and_from_lists(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "default-resources: [mem_mb=4000, \"constraint='a|b'\"]\n"
        "set-resources:\n  - segment_organs:gpu=2\n"
        "jobs: unlimited\n"
    )
    profile = read_profile(path)
    assert profile.default_resources == {"mem_mb": "4000", "constraint": "a|b"}
    assert profile.resources_by_rule == {"segment_organs": {"gpu": "2"}}
    assert profile.n_jobs is None
    path.write_text("default-resources: {mem_mb: 4000}\nset-resources: {a: {gpu: 1}}\njobs: 7\n")
    assert read_profile(path).default_resources == {"mem_mb": "4000"}
    assert read_profile(path).resources_by_rule == {"a": {"gpu": "1"}}
    assert read_profile(path).n_jobs == 7


def test_default_profile_lies_beside_the_snakefile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_profile(None, snakefile=tmp_path / "flow" / "Snakefile") is None
    beside = tmp_path / "flow" / "profiles" / "default" / "config.yaml"
    beside.parent.mkdir(parents=True)
    beside.write_text("executor: slurm\n")
    assert find_profile(None, snakefile=tmp_path / "flow" / "Snakefile") == beside


def test_named_profile_must_be_there_and_be_one(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no profile there"):
        find_profile(tmp_path / "none", snakefile=tmp_path / "Snakefile")
    (tmp_path / "config.yaml").write_text("[1, 2]")
    with pytest.raises(SetupError, match="mapping"):
        read_profile(tmp_path / "config.yaml")


def test_profiles_of_the_user_count_after_the_workflow_profile_and_flags_before_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("mine", "executor: slurm\njobs: 5\n"), ("flow", "jobs: 7\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    snakefile, flow = tmp_path / "Snakefile", Path("flow")

    def found(*flags: str) -> tuple[str | None, int | None]:
        profile = job_profile(flags, flow, snakefile=snakefile)
        assert profile is not None
        return profile.executor, profile.n_jobs

    assert found() == (None, 7)
    assert found("--profile", "mine", "--keep-going") == (SLURM, 7)
    assert found("--profile=mine", "-e", "local") == ("local", 7)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    assert found() == (SLURM, 7)
    assert found("--profile", "none") == (None, 7)
    with pytest.raises(SetupError, match="--profile gone"):
        found("--profile", "gone")
    assert job_profile((), None, snakefile=snakefile) is not None
    assert job_profile(("--profile", "none"), None, snakefile=snakefile) is None
