"""A lost mount makes no scan fail."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.domain.errors import MachineFault
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import Contrast, Scan, Source
from organome.io.files.cohort_roots import CohortRoot
from organome.io.files.identity import input_identity
from organome.io.tables.scan_lists import write_shard
from organome.shards.run import run_shard
from organome.steps.listing import list_scans
from organome.steps.listing.list_scans import ListingSummary
from organome.steps.prepare import prepare_images
from organome.steps.prepare.deliveries import Deliveries, Delivery


class Cohort:
    """Three images and their labelmaps in a folder that can be unmounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "cohort"
        (self.root / "images").mkdir(parents=True)
        voxels = np.random.default_rng(0).integers(0, 99, (8, 9, 10)).astype(np.int16)
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing((2.0, 2.0, 3.0))
        for place in range(3):
            sitk.WriteImage(image, str(self.image(place)))
        (self.root / "scans.tsv").write_text("listed")

    def image(self, place: int) -> Path:
        return self.root / "images" / f"{place}.nii.gz"

    def unmount(self) -> None:
        self.root.rename(self.folder / "elsewhere")
        self.root.mkdir()

    def mount(self) -> None:
        self.root.rmdir()
        (self.folder / "elsewhere").rename(self.root)

    def prepare(self, *, root: Path | None, **more: Any) -> tuple[Outcome, ...]:
        shard = self.folder / "scans" / "0000.parquet"
        scans = [
            Scan(
                scan=f"0000-{place:04d}",
                cohort="c",
                participant=f"p{place}",
                instance="1",
                array="0",
                protocol="ct",
                sources=(Source(str(self.image(place)), Contrast.CT),),
            )
            for place in range(3)
        ]
        write_shard(shard, scans)
        return prepare_images.run(
            shard=shard,
            output=self.folder / "results" / "0000",
            work=self.folder / "work" / "0000",
            kind="folder",
            root=root,
            **more,
        )


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort(tmp_path)


def test_a_cohort_that_is_there_passes(cohort: Cohort) -> None:
    for path in (cohort.root, cohort.root / "scans.tsv", None):
        CohortRoot(path).check()
    (cohort.root / "scans.tsv").unlink()
    CohortRoot(cohort.root / "scans.tsv").check()


@pytest.mark.parametrize("name", ["cohort", "cohort/scans.tsv"])
def test_an_empty_or_missing_folder_is_a_lost_mount(cohort: Cohort, name: str) -> None:
    root = CohortRoot(cohort.folder / name)
    cohort.unmount()
    with pytest.raises(MachineFault, match="empty"):
        root.check()
    cohort.root.rmdir()
    with pytest.raises(MachineFault, match="No such file"):
        root.check()


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN, errno.EACCES, errno.EHOSTDOWN])
def test_a_folder_that_cannot_be_listed_is_a_lost_mount(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("os.scandir", fail)
    with pytest.raises(MachineFault, match=os.strerror(number)):
        CohortRoot(cohort.root).check()


@pytest.mark.parametrize("given", ["cohort", "cohort/scans.tsv"])
def test_nothing_starts_without_the_cohort_and_all_goes_well_with_it(
    cohort: Cohort, given: str
) -> None:
    cohort.unmount()
    with pytest.raises(MachineFault):
        cohort.prepare(root=cohort.folder / given)
    assert not (cohort.folder / "work").exists()
    cohort.mount()
    outcomes = cohort.prepare(root=cohort.folder / given)
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 3


def test_one_missing_file_in_a_cohort_that_is_there_is_a_row(cohort: Cohort) -> None:
    cohort.image(1).unlink()
    outcomes = cohort.prepare(root=cohort.root)
    assert [outcome.reason for outcome in outcomes] == [None, Reason.FILE_MISSING, None]


@pytest.mark.parametrize(
    "how", ["before it is looked at", "after it was looked at", "while it is read"]
)
def test_a_mount_lost_on_the_way_costs_no_scan(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    read, look, n_times = Deliveries.read, input_identity, {"looked": 0}

    def looking(path: Path) -> Any:
        n_times["looked"] += 1
        if n_times["looked"] == 2 and how == "before it is looked at":
            cohort.unmount()
        return look(path)

    def reading(self: Deliveries, scan: Scan) -> Delivery:
        if scan.scan == "0000-0001" and how != "before it is looked at":
            cohort.unmount()
            if how == "while it is read":
                raise FileNotFoundError(errno.ENOENT, "gone between two calls")
        return read(self, scan)

    def run_here(step: Any, *, workers: Any, **more: Any) -> Any:
        return run_shard(step, **more)  # worker processes would not see the patches

    with monkeypatch.context() as patch:
        patch.setattr("organome.steps.prepare.prepare_images.run_shard", run_here)
        patch.setattr("organome.steps.prepare.prepare_images.input_identity", looking)
        patch.setattr(Deliveries, "read", reading)
        with pytest.raises(MachineFault):
            cohort.prepare(root=cohort.root)
    cohort.mount()
    outcomes = cohort.prepare(root=cohort.root)
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 3


def test_a_mount_lost_between_two_attempts_drops_nothing_that_was_finished(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort.prepare(root=cohort.root)
    cohort.unmount()
    check, n_checks = CohortRoot.check, {"done": 0}

    def pass_once(root: CohortRoot) -> None:
        n_checks["done"] += 1
        if n_checks["done"] > 1:  # it was there when the job began
            check(root)

    monkeypatch.setattr(CohortRoot, "check", pass_once)
    with pytest.raises(MachineFault):
        cohort.prepare(root=cohort.root)
    published = cohort.folder / "results" / "0000"
    assert len(list(published.glob("*_ct.nii.gz"))) == 3


def test_a_cohort_that_moved_is_not_prepared_again(tmp_path: Path) -> None:
    """The list says where it lies now, and the same content is the same input."""
    cohort = Cohort(tmp_path)
    rows = [f"p{place}\tct\timages/{place}.nii.gz" for place in range(3)]
    (cohort.root / "scans.tsv").write_text("\n".join(["participant\tprotocol\timage", *rows]))
    results = tmp_path / "results" / "0000"

    def bring_through(root: Path) -> tuple[ListingSummary, dict[str, bytes], dict[str, int]]:
        scans = tmp_path / "scans"
        listed = list_scans.run(kind="folder", cohort="c", root=root / "scans.tsv", scans=scans)
        prepare_images.run(
            shard=scans / "0000.parquet",
            output=results,
            work=tmp_path / "work" / "0000",
            kind="folder",
            root=root / "scans.tsv",
        )
        images = {path.name: path.stat().st_mtime_ns for path in results.glob("*.nii.gz")}
        return listed, {"ledger": (results / "ledger.parquet").read_bytes()}, images

    before = bring_through(cohort.root)
    shutil.copytree(cohort.root, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    shutil.rmtree(cohort.root)
    after = bring_through(tmp_path / "elsewhere")
    assert (after[0].n_new, after[0].n_gone, after[0].n_changed) == (0, 0, 3)
    assert after[1:] == before[1:]
    assert len(after[2]) == 3
