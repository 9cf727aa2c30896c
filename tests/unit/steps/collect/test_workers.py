"""Calls on dask workers as on threads, and the jobs of workers as submitted; no SLURM needed."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import dask.config
import pytest
from distributed import LocalCluster, SpecCluster

from doubles.worker_calls import die, die_once, refuse, square
from organome.domain.errors import MachineFault, SetupError
from organome.steps.collect import workers
from organome.steps.collect.workers import WorkerJobs, on_cluster, on_threads, slurm_cluster

JOBS = WorkerJobs(
    n_jobs=2,
    n_threads=3,
    memory_gb=1.5,
    runtime_min=90,
    account="lab",
    partition="cpu",
    interface=None,
    name="here_dask",
    work=Path(),
)


def directives(script: str) -> set[str]:
    return {line.removeprefix("#SBATCH ") for line in script.splitlines() if "#SBATCH" in line}


def test_job_asks_for_what_was_asked_for(tmp_path: Path) -> None:
    with slurm_cluster(replace(JOBS, work=tmp_path)) as cluster:
        script = cluster.job_script()
    assert directives(script) == {
        *("-J here_dask", "-A lab", "-p cpu", "-n 1", "--cpus-per-task=3", "--mem=1500M"),
        *("-t 90", "--no-requeue", f'--output="{tmp_path}/worker_logs/%x-%j.log"'),
    }
    assert f"exec {sys.executable} -m distributed.cli.dask_worker tls://" in script
    assert "--no-nanny" in script


def test_key_is_ours_alone_and_goes_with_the_cluster(tmp_path: Path) -> None:
    with slurm_cluster(replace(JOBS, work=tmp_path)):
        (key,) = tmp_path.glob("workers.*/key.pem")
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir()] == ["worker_logs"]


def test_settings_of_dask_from_elsewhere_do_not_count(tmp_path: Path) -> None:
    with dask.config.set({"jobqueue.slurm.queue": "other", "distributed.worker.preload": ["x"]}):
        with slurm_cluster(replace(JOBS, work=tmp_path, partition=None)) as cluster:
            script = cluster.job_script()
            assert dask.config.get("distributed.worker.preload") == []
        assert dask.config.get("jobqueue.slurm.queue") == "other"
    assert not [line for line in directives(script) if line.startswith("-p")]
    inherited = next(line for line in script.splitlines() if "INHERIT_CONFIG" in line)
    assert (
        dask.config.deserialize(inherited.split("=", 1)[1])["distributed"]["worker"]["preload"]
        == []
    )


def test_nothing_is_written_into_the_home_folder(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    code = (
        "from dataclasses import replace; from pathlib import Path\n"
        "from organome.steps.collect.workers import WorkerJobs, slurm_cluster\n"
        "jobs = WorkerJobs(n_jobs=1, n_threads=1, memory_gb=1, runtime_min=1, account=None,\n"
        f"    partition=None, interface=None, name='n', work=Path({str(work)!r}))\n"
        "if __name__ == '__main__':\n"
        "    with slurm_cluster(jobs) as cluster:\n"
        "        print(cluster.job_script())\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(home), "DASK_CONFIG": str(home / "dask")},
        cwd=home,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert [*home.iterdir()] == []


def answer(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an sbatch on the PATH that refuses with a text; return where it notes calls."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    (folder / "openssl").symlink_to(openssl)
    calls = folder / "calls.txt"
    refusal = f'echo "sbatch: error: {text}" >&2'
    (folder / "sbatch").write_text(f'#!/bin/sh\necho "$0" >> "{calls}"\n{refusal}\nexit 1\n')
    (folder / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return calls


def test_what_sbatch_refuses_for_good_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answer(tmp_path, "Batch job submission failed: Invalid account", monkeypatch)
    with (
        slurm_cluster(replace(JOBS, work=tmp_path / "work")) as cluster,
        on_cluster(cluster, n_jobs=1, patience_s=600) as compute,
        pytest.raises(SetupError, match="Invalid account") as caught,
    ):
        compute([partial(square, 2)])
    assert not isinstance(caught.value, MachineFault)
    assert len(calls.read_text().splitlines()) == 1


def test_busy_controller_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ASKS_AGAIN_S", 0.1)
    calls = answer(tmp_path, "Unable to contact slurm controller", monkeypatch)
    with (
        slurm_cluster(replace(JOBS, work=tmp_path / "work")) as cluster,
        on_cluster(cluster, n_jobs=1, patience_s=12) as compute,
        pytest.raises(MachineFault, match="none of 1 workers"),
    ):
        compute([partial(square, 2)])
    assert len(calls.read_text().splitlines()) >= 2


def test_results_come_in_the_order_of_the_calls(dask_workers: SpecCluster) -> None:
    calls = [partial(square, number) for number in range(50)]
    with on_threads(2) as threads, on_cluster(dask_workers, n_jobs=2, patience_s=300) as jobs:
        assert jobs(calls) == threads(calls) == tuple(number**2 for number in range(50))


def test_errors_arrive_as_they_were_raised(dask_workers: SpecCluster) -> None:
    calls = [partial(square, 3), *(partial(refuse, f"000{shard}") for shard in range(3))]
    with (
        on_cluster(dask_workers, n_jobs=2, patience_s=300) as compute,
        pytest.raises(SetupError, match=r"^shard 000\d: no$"),
    ):
        compute(calls)


def test_what_a_worker_was_at_when_it_died_is_done_by_another(
    dask_workers: SpecCluster, tmp_path: Path
) -> None:
    names = [str(number) for number in range(3)]
    with on_cluster(dask_workers, n_jobs=2, patience_s=300) as compute:
        assert compute([partial(die_once, tmp_path / name) for name in names]) == tuple(names)


def test_call_that_takes_its_workers_with_it_is_an_error(dask_workers: SpecCluster) -> None:
    with (
        on_cluster(dask_workers, n_jobs=2, patience_s=300) as compute,
        pytest.raises(MachineFault, match="died at one and the same task"),
    ):
        compute([die])


def test_having_no_worker_is_an_error_in_the_end() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as nobody,
        on_cluster(nobody, n_jobs=0, patience_s=0.1) as compute,
        pytest.raises(MachineFault, match="none of 0 workers"),
    ):
        compute([partial(square, 2)])
