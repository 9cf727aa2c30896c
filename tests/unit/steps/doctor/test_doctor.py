"""The doctor: what it finds, how it grades it, what it exits with."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doubles import trainings
from doubles.fake_commands import FakeCommands
from doubles.places import REPOSITORY
from organome.cli import app
from organome.domain.errors import SetupError
from organome.io.runs import Run
from organome.io.slurm.profiles import read_profile
from organome.steps.doctor import doctor, software
from organome.steps.doctor.cluster import (
    asks_for_gpu,
    check_commands,
    check_nodes,
    check_partitions,
    check_settings,
    job_kinds,
    write_report,
)
from organome.steps.doctor.doctor import Diagnosis
from organome.steps.doctor.findings import Finding, Grade, fail, look, ok, skipped
from organome.steps.doctor.folders import check_cohort, check_folders
from organome.steps.doctor.software import check_gpu, check_software

PROFILE = REPOSITORY / "profiles" / "slurm" / "config.yaml"
SETTINGS = {
    "SLURM_VERSION": "22.05.8",
    "MinJobAge": "300 sec",
    "KillWait": "30 sec",
    "PreemptMode": "OFF",
    "JobRequeue": "1",
    "MaxJobCount": "10000",
    "AccountingStorageType": "accounting_storage/none",
}


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    """A cluster on which all is well."""
    fakes = FakeCommands(tmp_path / "fakes", run_folder=tmp_path)
    monkeypatch.setenv("PATH", fakes.path)
    answer_settings(fakes, {})
    fakes.add("sinfo", "echo 'gpu|up|idle|gpu:a100:4'; echo 'cpu|up|idle|(null)'")
    fakes.add("sbatch", "exit 0")
    fakes.add("srun", "exit 0")
    fakes.add("sacctmgr", "exit 1")
    return fakes


def answer_settings(fakes: FakeCommands, changed: Mapping[str, str]) -> None:
    lines = (f"echo '{name} = {value}'\n" for name, value in (SETTINGS | changed).items())
    fakes.add("scontrol", "".join(lines))


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_healthy_cluster_passes(fakes: FakeCommands) -> None:
    profile = read_profile(PROFILE)
    findings = [*check_commands(), *check_settings(profile), *check_partitions(profile)]
    assert {finding.grade for finding in findings} == {Grade.OK}, findings
    assert "gpu:a100:4" in by_subject(findings)["partition of segment_organs"].fact


def test_slurm_conf_that_jobs_lose_is_found(
    fakes: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", "/somewhere")
    fakes.add("scontrol", '[ -n "$SLURM_CONF" ]')
    finding = by_subject(list(check_commands()))["slurm.conf"]
    assert finding.grade is Grade.FAIL
    assert "wrappers" in finding.advice


@pytest.mark.parametrize(
    ("changed", "subject", "grade"),
    [
        ({"MinJobAge": "60 sec"}, "MinJobAge", Grade.WARN),  # 3 x 30 s are needed
        ({"KillWait": "2 sec"}, "KillWait", Grade.WARN),
        ({"PreemptMode": "CANCEL"}, "preemption", Grade.WARN),
        ({"PreemptMode": "REQUEUE"}, "preemption", Grade.OK),
        ({"MaxJobCount": "100"}, "jobs in the queue", Grade.FAIL),  # the profile has 200
        ({"AccountingStorageType": "accounting_storage/slurmdbd"}, "sacct", Grade.WARN),
    ],
)
def test_settings_are_held_against_the_profile(
    fakes: FakeCommands, changed: dict[str, str], subject: str, grade: Grade
) -> None:
    answer_settings(fakes, changed)
    fakes.add("sacct", "echo 'database is down' >&2; exit 1")
    assert by_subject(list(check_settings(read_profile(PROFILE))))[subject].grade is grade


def test_limit_of_the_account_counts(fakes: FakeCommands) -> None:
    fakes.add("sacctmgr", "echo '500|'; echo '50|'")
    finding = by_subject(list(check_settings(read_profile(PROFILE))))["jobs in the queue"]
    assert finding.grade is Grade.FAIL
    assert "50" in finding.fact


def test_refused_jobs_and_partitions_without_gpu_fail(fakes: FakeCommands) -> None:
    fakes.add("sinfo", "echo 'gpu|up|idle|(null)'")
    fakes.add("sbatch", "echo 'sbatch: error: invalid partition specified: cpu' >&2; exit 1")
    found = by_subject(list(check_partitions(read_profile(PROFILE))))
    assert found["partition of segment_organs"].fact == "gpu: no GPU"
    assert found["partition of default"].fact == "cpu: no such partition"
    assert found["job default"].fact == (
        "invalid partition specified: cpu (--partition=cpu --mem=4000 --time=120)"
    )
    assert not any(finding.holds for finding in found.values())


def test_what_sbatch_is_asked_is_what_the_profile_says(fakes: FakeCommands, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "default-resources: {slurm_partition: cpu, slurm_account: me, mem_mb: 4000, runtime: 60}\n"
        "set-resources: {segment_organs: {slurm_partition: gpu, gpu_model: a100, runtime: 90}}\n"
    )
    fakes.add("sbatch", 'echo "$@" >> "$FAKES/calls"')
    list(check_partitions(read_profile(path)))
    default, segment = fakes.calls
    assert "--partition=cpu --account=me --mem=4000 --time=60" in default
    assert "--gpus" not in default
    assert "--partition=gpu" in segment
    assert "--gpus=a100:1" in segment
    assert "--time=90" in segment


OF_A_RUN = """\
cohort: {name: c, kind: folder, root: scans.tsv}
shard_size: 600
segment: {model: phantom, device: cuda}
radiomics: {contrasts: {water: mr}}
resources: {segment_organs: {gpus: 4, mem_gb: 20, seconds_per_scan: 30}}
"""


def test_jobs_are_tested_as_the_rules_will_ask(fakes: FakeCommands, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(OF_A_RUN)
    fakes.add("sbatch", 'echo "$@" >> "$FAKES/calls"')
    found = by_subject(list(check_partitions(read_profile(PROFILE), Run(tmp_path).config())))
    assert [subject for subject in found if subject.startswith("job ")] == [
        *("job prepare_images", "job segment_organs", "job measure_volumes"),
        *("job measure_radiomics", "job draw_pictures"),
        *("job collect_tables", "job check_quality", "job write_report"),
    ]
    prepare, segment, *_, collect, quality, _report = fakes.calls
    # 600 scans of 30 s by four processes, twice that and a quarter of an hour.
    for flag in ("--partition=gpu", "--time=165", "--mem=80000", "--gpus=4", "--cpus-per-task=16"):
        assert flag in segment
    assert "--partition=cpu --mem=4000 --time=175 --cpus-per-task=1" in prepare
    assert "--mem=8000 --time=120 --cpus-per-task=2" in collect
    assert "--cpus-per-task=1" in quality


def test_a_partition_that_ends_before_the_jobs_of_the_run_fails(
    fakes: FakeCommands, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(OF_A_RUN)
    fakes.add(
        "sbatch", "case \"$*\" in *--time=165*) echo 'time limit is invalid' >&2; exit 1;; esac"
    )
    found = by_subject(list(check_partitions(read_profile(PROFILE), Run(tmp_path).config())))
    refused = [subject for subject, finding in found.items() if not finding.holds]
    assert refused == ["job segment_organs"]
    assert "--time=165" in found["job segment_organs"].fact
    assert "shard_size" in found["job segment_organs"].advice


def test_what_the_profile_says_of_a_rule_goes_before_what_the_rule_asks(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(OF_A_RUN.replace("cuda", "cpu"))
    path = tmp_path / "profile.yaml"
    path.write_text(
        "default-resources: {runtime: 60}\nset-resources: {segment_organs: {runtime: 9}}\n"
    )
    kinds = job_kinds(read_profile(path), Run(tmp_path).config())
    assert (kinds["segment_organs"]["runtime"], kinds["prepare_images"]["runtime"]) == ("9", "175")
    assert not asks_for_gpu(kinds["segment_organs"])


def test_folds_of_a_training_are_tested_as_they_will_ask(tmp_path: Path) -> None:
    trainings.configured(tmp_path, device="cuda")
    asked = job_kinds(read_profile(PROFILE), Run(tmp_path).config())
    assert list(asked) == ["build_dataset", "plan_training", "train_fold"]
    assert asked["train_fold"]["gpu"] == "1"
    assert asked["train_fold"]["slurm_partition"] == "gpu"


def test_node_answers_through_a_file_and_silence_is_a_finding(
    fakes: FakeCommands, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("default-resources: {slurm_partition: cpu}\n")
    answer = tmp_path / "answer.json"
    write_report(answer, [ok("space", "9 GB free")])
    into = "$(echo \"$*\" | sed 's/.*--report \\([^ ]*\\).*/\\1/')"
    fakes.add("sbatch", f'case "$*" in *--gpus*) ;; *) cp {answer} "{into}";; esac; echo 17')
    found = by_subject(
        list(
            check_nodes(
                read_profile(path),
                run_folder=tmp_path,
                wait_s=60,
                poll_s=0.01,
                files_late_s=0.1,
            )
        )
    )
    assert found["default: space"] == ok("default: space", "9 GB free")
    assert "left no report" in found["node (segment_organs)"].fact
    assert not found["node (segment_organs)"].holds


def test_healthy_folder_passes_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "results").mkdir()
    found = by_subject(list(check_folders(tmp_path)))
    for subject in ("run folder", "rename", "hard links", "work and results"):
        assert found[subject].grade is Grade.OK, found[subject]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "work"]


def test_missing_folder_fails(tmp_path: Path) -> None:
    (finding,) = check_folders(tmp_path / "none")
    assert not finding.holds


GOOD = "cohort: {name: c, kind: folder, root: scans.tsv}\nsegment: {source: labelmaps}\n"


@pytest.mark.parametrize(
    ("written", "subject", "said"),
    [
        (GOOD.replace("source", "sorce"), "configuration", "did you mean segment.source"),
        (GOOD.replace("scans.tsv", "/gone/scans.tsv"), "cohort", "No such file"),
        (GOOD.replace("source: labelmaps", "model: unheard-of"), "model", "not installed"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_found(
    tmp_path: Path, written: str, subject: str, said: str
) -> None:
    (tmp_path / "config.yaml").write_text(written)
    finding = by_subject(list(check_cohort(Run(tmp_path))))[subject]
    assert not finding.holds
    assert said in finding.fact


PHANTOM = "cohort: {name: c, kind: folder, root: scans.tsv}\nsegment: {model: phantom}\n"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (PHANTOM, "trained on phantoms"),
        (GOOD.replace("kind: folder, root: scans.tsv", "kind: bids, root: scans.tsv"), "a file"),
        (GOOD.replace("labelmaps", "labelmaps, scheme: own.yaml"), "segment.scheme"),
        (GOOD + "radiomics: {contrasts: {water: unheard-of}}\n", "neither a preset"),
        (GOOD + "radiomics: {contrasts: {t2: mr}}\nprepare: {contrasts: [t1]}\n", "leaves it out"),
    ],
)
def test_what_the_run_would_refuse_is_found(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "config.yaml").write_text(written)
    (tmp_path / "scans.tsv").touch()
    with pytest.raises(SetupError, match=said):
        Run(tmp_path).check()
    finding = by_subject(list(check_cohort(Run(tmp_path))))["settings"]
    assert not finding.holds
    assert said in finding.fact
    assert "\n" not in finding.line(width=10)


def test_a_model_that_was_changed_since_it_was_installed_is_found(tmp_path: Path) -> None:
    model = shutil.copytree(REPOSITORY / "models" / "phantom", tmp_path / "model")
    (tmp_path / "config.yaml").write_text(PHANTOM.replace("model: phantom", "model: ./model"))
    (tmp_path / "scans.tsv").touch()
    assert by_subject(list(check_cohort(Run(tmp_path))))["model"].holds
    with (model / "plans.json").open("a") as file:
        file.write(" ")
    finding = by_subject(list(check_cohort(Run(tmp_path))))["model"]
    assert not finding.holds
    assert "changed or damaged" in finding.fact


def test_a_gpu_is_missed_where_the_shards_would_be_segmented_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "check_gpu", lambda *, wanted: skipped("gpu", f"none {wanted}"))
    (tmp_path / "config.yaml").write_text(PHANTOM.replace("phantom}", "phantom, device: cuda}"))
    (tmp_path / "scans.tsv").touch()
    here = by_subject(list(check_cohort(Run(tmp_path))))
    assert here["segment.device"].grade is Grade.WARN
    assert "segment.device" not in by_subject(list(check_cohort(Run(tmp_path), on_cluster=True)))


def test_a_good_configuration_passes_and_its_space_is_counted(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    (tmp_path / "scans.tsv").touch()
    (tmp_path / "scans").mkdir()
    pq.write_table(pa.table({"scan": ["0000-0000", "0000-0001"]}), tmp_path / "scans/0000.parquet")
    found = by_subject(list(check_cohort(Run(tmp_path))))
    assert all(finding.holds for finding in found.values()), found
    assert found["space for the cohort"].fact.startswith("2 scans need about 0 GB")
    assert found["files for the cohort"].fact.startswith("1 shards need about")


def test_clock_of_a_file_server_that_is_off_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("organome.steps.doctor.folders.time.time", lambda: 1_000_000_000.0)
    assert by_subject(list(check_folders(tmp_path)))["clock of the files"].grade is Grade.WARN


def test_software_here_loads_and_other_versions_than_tested_are_reported(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("pydicom==0.1\n")
    found = by_subject(list(check_software(constraints=constraints)))
    assert found["import SimpleITK"].grade is Grade.OK
    assert "pydicom" in found["versions"].fact
    assert found["versions"].grade is Grade.WARN
    assert check_gpu(wanted=False).grade in (Grade.OK, Grade.SKIPPED)


def test_check_that_breaks_is_a_finding_and_keeps_what_it_found() -> None:
    def check() -> list[Finding]:
        raise OSError("no such device")

    (finding,) = look("thing", check)
    assert not finding.holds
    assert "no such device" in finding.fact


def test_check_that_breaks_at_a_file_of_a_delivery_names_nobody() -> None:
    def check() -> list[Finding]:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/bulk/sub-1234567/image.nii.gz")

    (finding,) = look("space for the training", check)
    assert finding.fact == "OSError: disk: Input/output error (EIO)"


def test_doctor_names_what_may_not_be_read_in_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "run" / "work"

    def check(_: Path) -> list[Finding]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(work))

    work.mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("cohort: {}\n")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr(doctor, "check_folders", check)
    found = by_subject(list(doctor.run(tmp_path / "run").findings))
    assert found["run folder"].fact == f"PermissionError: {work}: Permission denied"


@pytest.mark.parametrize(("finding", "code"), [(ok("a", "b"), 0), (fail("a", "b", "c"), 3)])
def test_failing_finding_exits_3(
    finding: Finding, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "run", lambda _folder, /: Diagnosis([finding]))
    assert app.run(["doctor", "."]) == code
    assert capsys.readouterr().out.startswith(f"{finding.grade:<8} a b")


def test_canary_job_needs_a_profile(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(GOOD)
    with pytest.raises(SetupError, match="--workflow-profile"):
        doctor.run(tmp_path, canary_job=True)


def test_folder_that_cannot_be_written_fails() -> None:
    assert [finding.holds for finding in check_folders(Path("/proc"))] == [False]
