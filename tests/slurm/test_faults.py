"""Whatever happens to the cluster: the same tables, no scan labelled twice, nothing left running.

Each test plants one fault while jobs are in the middle of their shards. A scan that was in flight
is done again; one that was written down is not. Nothing here is pretended but the GPUs: the network
is small, and real.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slurm.cluster import Cluster
from slurm.processes import (
    belonging_to,
    environment,
    frozen,
    is_alive,
    kill_trees,
    slowed,
)
from slurm.runs import SlurmRun
from slurm.settings import CPU_NODES, N_GPUS, N_SHARDS, NODES, SHARD_SIZE

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

Tables = dict[str, bytes]


@pytest.fixture
def end_as_if_undisturbed(run: SlurmRun, undisturbed: Tables) -> Iterator[None]:
    """Look, after the test, whether all is as if nothing had happened."""
    yield
    look_undisturbed(run, undisturbed)


def look_undisturbed(run: SlurmRun, undisturbed: Tables) -> None:
    if run.until is not None:
        run.local()  # the rest
    assert run.tables() == undisturbed
    assert run.scans_done_twice() == {}
    assert run.left_running() == []


def states_of(cluster: Cluster, job: str) -> list[str]:
    """List the states of all runs of a job, by the database."""
    return [row["State"].split()[0] for row in cluster.accounting("State", jobs=[job])]


@contextmanager
def drained(run: SlurmRun, nodes: Iterable[str] = N_GPUS) -> Iterator[None]:
    """Keep nodes, by default those with GPUs, from starting jobs for the block."""
    for node in nodes:
        run.cluster.drain(node)
    try:
        yield
    finally:
        for node in nodes:
            run.cluster.resume(node)


def waiting_jobs(run: SlurmRun) -> list[str]:
    """Wait until the jobs of all shards are in the queue."""
    run.wait_for(lambda: len(run.cluster.queue()) == N_SHARDS, what="a job a shard in the queue")
    return list(run.cluster.queue())


def await_state(run: SlurmRun, job: str, state: str) -> None:
    run.wait_for(lambda: state in states_of(run.cluster, job), what=f"job {job} to be {state}")


@pytest.mark.usefixtures("end_as_if_undisturbed")
class TestJobs:
    """What ends jobs."""

    def test_somebody_cancels_a_job(self, run: SlurmRun) -> None:
        controller = run.start()
        event = run.wait_for_scans(2)
        run.cluster.cancel(event.job)
        run.finish(controller)
        assert states_of(run.cluster, event.job) == ["CANCELLED"]

    def test_a_job_hangs_until_its_time_limit(self, run: SlurmRun) -> None:
        controller = run.start()
        event = run.wait_for_scans(1)
        with frozen([event.pid]):
            run.cluster.set_time_limit(event.job, minutes=1)
            await_state(run, event.job, "TIMEOUT")
        run.finish(controller)

    def test_a_job_is_preempted_by_a_more_urgent_one(self, run: SlurmRun) -> None:
        controller = run.start()
        event = run.wait_for_scans(2)
        urgent = run.cluster.preempt(event.node, n_gpus=N_GPUS[event.node])
        run.finish(controller)
        # It may use the seconds of grace to stop by itself, and then has failed by SLURM's account.
        assert states_of(run.cluster, event.job)[0] in ("PREEMPTED", "FAILED")
        run.wait_for(lambda: states_of(run.cluster, urgent) == ["COMPLETED"], what="the urgent job")

    def test_jobs_are_held_by_their_user_and_by_slurm(self, run: SlurmRun) -> None:
        with drained(run):
            controller = run.start()
            by_user, by_slurm = waiting_jobs(run)
            run.cluster.hold(by_user)
            run.cluster.hold(by_slurm, by_user=False)
        run.wait_for_scans(SHARD_SIZE)  # of a job that was submitted instead of the second one
        run.cluster.release(by_user)
        run.finish(controller)
        assert states_of(run.cluster, by_user) == ["COMPLETED"]
        assert states_of(run.cluster, by_slurm) == ["CANCELLED"]


def test_a_job_gets_more_memory_than_it_was_killed_for(
    make_run: Callable[..., SlurmRun], undisturbed: Tables
) -> None:
    run = make_run(mem_gb=0.45)  # less than the network needs to be loaded
    run.finish(run.start())
    jobs = [job for job in run.jobs("State", "ReqMem", "Comment") if "segment" in job["Comment"]]
    ended = {job["State"] for job in jobs if job["ReqMem"] == "450M"}
    assert ended <= {"FAILED", "OUT_OF_MEMORY"}  # which one depends on who kills
    assert [job["State"] for job in jobs if job["ReqMem"] != "450M"].count("COMPLETED") == N_SHARDS
    look_undisturbed(run, undisturbed)


@pytest.mark.usefixtures("end_as_if_undisturbed")
class TestNodes:
    """What happens to nodes."""

    def test_a_node_loses_power(self, run: SlurmRun) -> None:
        controller = run.start()
        event = run.wait_for_scans(2)
        run.cluster.crash_node(event.node)
        await_state(run, event.job, "NODE_FAIL")
        run.finish(controller)
        assert states_of(run.cluster, event.job) == ["NODE_FAIL", "COMPLETED"]

    def test_a_node_is_cut_off_and_computes_on(self, run: SlurmRun) -> None:
        controller = run.start()
        event = run.wait_for_scans(1)
        with slowed(event.pid, share=0.002, every_s=5):
            run.cluster.hang_node(event.node)
            await_state(run, event.job, "NODE_FAIL")
            # Its successor has the same job number, and finds the shard in use.
            run.wait_for(
                lambda: [one for one in run.events("lease_wait") if one.job == event.job],
                what="the successor to wait for the lease",
            )
            assert is_alive(event.pid)
        run.finish(controller)

    def test_all_nodes_are_drained_for_a_while(self, run: SlurmRun) -> None:
        run.until = None
        controller = run.start()
        run.wait_for_scans(2)
        for node in NODES:
            run.cluster.drain(node)
        run.wait_for(lambda: len(run.events("published")) == N_SHARDS, what="running jobs to go on")
        assert run.events("scan_done", step="measure_volumes") == []
        for node in NODES:
            run.cluster.resume(node)
        run.finish(controller)


@pytest.mark.usefixtures("end_as_if_undisturbed")
class TestSlurm:
    """What happens to SLURM itself."""

    def test_the_controller_is_away(self, run: SlurmRun) -> None:
        run.until = None
        controller = run.start()
        run.wait_for_scans(3)
        with frozen(run.working()):
            time.sleep(8)  # slurmctld forgets jobs of the last seconds; that is another test
            run.cluster.kill_controller()
            time.sleep(12)
        time.sleep(5)
        run.cluster.start_controller()
        run.finish(controller)

    def test_the_database_is_away(self, run: SlurmRun) -> None:
        run.until = None
        controller = run.start()
        run.wait_for_scans(2)
        run.cluster.kill_database()
        run.wait_for(lambda: len(run.events("published")) == N_SHARDS, what="jobs to go on")
        time.sleep(5)
        run.cluster.start_database()
        run.finish(controller)

    def test_slurm_forgets_waiting_jobs(self, run: SlurmRun) -> None:
        with drained(run):
            controller = run.start()
            waiting_jobs(run)
            run.cluster.forget_jobs()
            assert run.cluster.queue() == {}
        run.finish(controller)


@pytest.mark.usefixtures("end_as_if_undisturbed")
class TestControllers:
    """What happens to ``organome run`` and to Snakemake."""

    def test_killed_and_started_again(self, run: SlurmRun) -> None:
        run.until = None
        controller = run.start()
        run.wait_for_scans(2)
        kill_trees([controller.pid])
        controller.wait()
        assert len(run.cluster.queue()) == N_SHARDS
        run.finish(run.start())

    def test_killed_and_started_again_with_the_jobs_cancelled(self, run: SlurmRun) -> None:
        controller = run.start()
        run.wait_for_scans(2)
        kill_trees([controller.pid])
        controller.wait()
        run.finish(run.start("--live-jobs", "cancel"))

    def test_asked_to_stop_and_started_again(self, run: SlurmRun) -> None:
        controller = run.start()
        run.wait_for_scans(2)
        controller.send_signal(signal.SIGTERM)
        assert run.wait(controller) == 75
        assert run.left_running() == []
        run.finish(run.start())

    def test_snakemake_alone_is_killed(self, run: SlurmRun) -> None:
        controller = run.start()
        run.wait_for_scans(2)
        kill_trees(snakemakes_of(run))
        run.finish(controller)

    def test_a_second_one_refuses(self, run: SlurmRun) -> None:
        run.until = None
        controller = run.start()
        run.wait_for_scans(1)
        second = run.start()
        assert run.wait(second) == 2
        run.finish(controller)
        # All other tests would pass if the events were not kept.
        labelled = run.events("scan_done")
        assert len({event.said["scan"] for event in labelled}) == len(labelled)
        assert len(labelled) == N_SHARDS * SHARD_SIZE
        assert {event.node for event in labelled} <= set(N_GPUS)

    def test_a_second_plain_snakemake_refuses(self, run: SlurmRun) -> None:
        first = run.snakemake()
        run.wait_for_scans(1)
        second = run.snakemake()
        assert run.wait(second) == 1
        assert "LockException" in run.output
        run.finish(first)


def snakemakes_of(run: SlurmRun) -> list[int]:
    """Find the Snakemake that plans the run, not those within jobs."""
    return [
        pid
        for pid, line in belonging_to(run.folder)
        if "snakemake" in line and "organome run" not in line
        if "SLURM_JOB_ID" not in environment(pid)
    ]


@pytest.mark.usefixtures("end_as_if_undisturbed")
class TestFiles:
    """What happens to file systems and files."""

    def test_the_input_folder_is_unmounted_for_a_while(self, run: SlurmRun) -> None:
        shutil.rmtree(run.folder / "results" / "prepare_images" / "0001")
        images = run.folder.parent / "cohort"
        with drained(run, CPU_NODES):  # a run looks for the cohort before its first job
            controller = run.start()
            run.wait_for(run.cluster.queue, what="a job in the queue")
            unmounted = images.rename(images.with_name("cohort_of_another_name"))
            images.mkdir()
        run.wait_for(lambda: machine_faults(run), what="a machine to be found at fault")
        images.rmdir()
        unmounted.rename(images)
        run.finish(controller)

    def test_a_run_of_a_cohort_that_is_not_mounted_starts_no_job(self, run: SlurmRun) -> None:
        images = run.folder.parent / "cohort"
        unmounted = images.rename(images.with_name("cohort_of_another_name"))
        assert run.wait(run.start()) == 2
        assert run.jobs("JobID") == []
        unmounted.rename(images)
        run.finish(run.start())

    def test_a_model_that_changes_in_mid_run_is_refused(self, run: SlurmRun) -> None:
        weights = run.folder.parent / "model" / "fold_0" / "checkpoint_final.pth"
        spare = shutil.copy2(weights, weights.with_name("spare"))
        with drained(run):
            controller = run.start()
            waiting_jobs(run)
            with weights.open("ab") as file:
                file.write(b"changed")
        assert run.wait(controller) != 0
        assert run.events("scan_done") == []
        shutil.copy2(spare, weights)
        run.finish(run.start())


def machine_faults(run: SlurmRun) -> list[Path]:
    notes = (run.folder / "work" / "failures").glob("*.jsonl")
    return [note for note in notes if '"code": 69' in note.read_text()]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "organome-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount a file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_scratch_is_full_for_a_while(
    scratch: Path, make_run: Callable[..., SlurmRun], undisturbed: Tables
) -> None:
    run = make_run()
    for name in ("results", "work"):
        (run.folder / name).exists() or (run.folder / name).mkdir()
        shutil.copytree(run.folder / name, scratch / name)
        shutil.rmtree(run.folder / name)
        (run.folder / name).symlink_to(scratch / name)
    controller = run.start()
    run.wait_for_scans(2)
    ballast = scratch / "ballast"
    with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    run.wait_for(lambda: machine_faults(run), what="a machine to be found at fault")
    ballast.unlink()
    run.finish(controller)
    look_undisturbed(run, undisturbed)
