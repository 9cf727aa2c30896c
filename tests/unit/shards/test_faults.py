"""Whether the machine is to blame or something else."""

import errno
import os
import pickle
from pathlib import Path

import pytest

from doubles.steps import CopyStep, make_scans
from organome.domain.errors import Interrupted, MachineFault, ScanError, SetupError
from organome.domain.outcomes import Reason
from organome.shards.faults import (
    lacks_memory,
    machine_fault,
    machine_faults_stop_the_job,
)
from organome.shards.pipeline import ScanWork
from organome.shards.step import Task
from organome.shards.work_folder import Staging

OF_THE_MACHINE = [
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENODEV, errno.ENXIO),
    *(errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT, errno.EHOSTDOWN),
]
OF_ONE_FILE = [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL]


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "a.zip")


@pytest.mark.parametrize("number", OF_THE_MACHINE)
def test_error_of_the_machine_stops_the_job(number: int) -> None:
    with pytest.raises(MachineFault, match=r"a\.zip: "), machine_faults_stop_the_job():
        raise os_error(number)


@pytest.mark.parametrize("path", ["/bulk/1234567_20201_2_0.zip", "../bulk/1234567.zip"])
def test_a_path_of_a_delivery_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MachineFault) as caught, machine_faults_stop_the_job():
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)
    assert str(caught.value) == "disk: Input/output error (EIO)"


def test_a_path_of_the_run_or_of_what_is_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, path in (
        (errno.EIO, "scans/0000.parquet"),
        (errno.EIO, str(tmp_path / "results" / "x")),
        (errno.ENOSPC, "/elsewhere/tables"),
    ):
        with pytest.raises(MachineFault) as caught, machine_faults_stop_the_job():
            raise OSError(number, os.strerror(number), path)
        assert str(caught.value) == f"{path}: {os.strerror(number)}"


def test_a_path_below_a_folder_that_is_ours_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, said in (
        ("/data/models/a/plans.json", "/data/models/a/plans.json: Input/output error"),
        ("../models/a/plans.json", "../models/a/plans.json: Input/output error"),
        ("/data/models/../1234567.zip", "disk: Input/output error (EIO)"),
    ):
        ours = Path("/data/models"), Path("../models")
        with pytest.raises(MachineFault) as caught, machine_faults_stop_the_job(*ours):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        assert str(caught.value) == said


@pytest.mark.parametrize("number", OF_ONE_FILE)
def test_error_of_one_file_stays_what_it_is(number: int) -> None:
    with pytest.raises(OSError) as caught, machine_faults_stop_the_job():
        raise os_error(number)
    assert caught.value.errno == number


@pytest.mark.parametrize(
    "wrapper",
    [ScanError(Reason.FILE_BROKEN, "cannot be read"), SetupError("no list"), ValueError("bad")],
)
def test_it_is_found_behind_whatever_a_reader_made_of_it(wrapper: Exception) -> None:
    with pytest.raises(MachineFault), machine_faults_stop_the_job():
        try:
            raise os_error(errno.EIO)
        except OSError as error:
            raise wrapper from error


def test_a_request_to_stop_stays_one_whatever_it_broke() -> None:
    with pytest.raises(Interrupted), machine_faults_stop_the_job():
        try:
            raise os_error(errno.EIO)
        except OSError as error:
            raise Interrupted("SIGTERM") from error


def test_all_else_stays_what_it_is() -> None:
    assert machine_fault(ValueError("bug")) is None
    with pytest.raises(SetupError, match="wrong") as caught, machine_faults_stop_the_job():
        raise SetupError("wrong")
    assert type(caught.value) is SetupError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        os_error(errno.ENOMEM),
        RuntimeError("itkImportImageContainer.hxx:179:\nFailed to allocate memory for image."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_a_lack_of_memory_is_found_behind_whatever_a_reader_made_of_it(
    tmp_path: Path, error: Exception
) -> None:
    assert lacks_memory(error)
    with pytest.raises(ScanError) as caught:
        try:
            raise error
        except Exception as cause:
            raise ScanError(Reason.FILE_BROKEN, "cannot be read") from cause
    assert lacks_memory(caught.value)
    work = ScanWork(CopyStep(), Staging(tmp_path))
    (scan,) = make_scans(1)
    result = work.failed(Task(scan, None), caught.value, "", 1.0)
    assert result.reason is Reason.OUT_OF_MEMORY
    assert not lacks_memory(ScanError(Reason.FILE_BROKEN, "cannot be read"))


def test_a_scan_error_can_be_sent_to_another_process() -> None:
    error = ScanError(Reason.FILE_BROKEN, "3 bytes missing")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.reason, copy.fact, str(copy)) == (error.reason, error.fact, str(error))
    assert str(copy) == "file_broken: 3 bytes missing"
