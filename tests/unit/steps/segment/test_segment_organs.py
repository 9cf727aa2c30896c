import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.places import REPOSITORY
from organome.domain.errors import MachineFault, SetupError
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import Contrast, Scan, Source
from organome.domain.schemes import scheme_by_name
from organome.io.files.cohort_roots import CohortRoot
from organome.io.images.image_files import read_image, write_image
from organome.io.models.folders import model_digest
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.scan_lists import write_shard
from organome.shards.journal import JOURNAL
from organome.steps.measure import measure_volumes
from organome.steps.prepare import prepare_images
from organome.steps.segment import segment_organs
from organome.steps.segment.labelling import Labelling
from organome.steps.segment.take_labelmaps import TakeLabelmaps

MODEL = REPOSITORY / "models" / "phantom"
LIVER = ORGAN_BY_NAME["liver"].label


def image_of(
    values: np.ndarray, spacing: tuple[float, float, float] = (2.0, 2.0, 3.0)
) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    return image


class Cohort:
    """A shard of files with labelmaps, prepared, ready to be segmented."""

    def __init__(self, folder: Path, n_scans: int = 3) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        scans = []
        for place in range(n_scans):
            path = folder / "files" / f"{place}.nii.gz"
            write_image(path, image_of(rng.integers(0, 99, (8, 9, 10)).astype(np.int16)))
            labels = np.zeros((8, 9, 10), np.uint8)
            labels[2:5, 2:5, 2:5] = 6  # the liver in AMOS22
            write_image(self.labelmap(place), image_of(labels))
            scans.append(self.scan(place, str(path), str(self.labelmap(place))))
        self.scans = scans

    def labelmap(self, place: int) -> Path:
        return self.folder / "files" / f"{place}_seg.nii.gz"

    @staticmethod
    def scan(place: int, image: str, labelmap: str | None) -> Scan:
        return Scan(
            scan=f"0000-{place:04d}",
            cohort="c",
            participant=f"p{place}",
            instance="1",
            array="0",
            protocol="mr",
            sources=(Source(image, Contrast.T1),),
            labelmap=labelmap,
        )

    def run(self, **settings):
        shard = self.folder / "scans" / "0000.parquet"
        write_shard(shard, self.scans)
        images = self.folder / "results" / "prepare_images" / "0000"
        prepare_images.run(
            shard=shard, output=images, work=self.folder / "work" / "prepare_images", kind="folder"
        )
        return segment_organs.run(
            shard=shard,
            images=images,
            output=self.output,
            work=self.folder / "work" / "segment_organs",
            **{"source": "labelmaps", "scheme": "amos22"} | settings,
        )

    @property
    def output(self) -> Path:
        return self.folder / "results" / "segment_organs" / "0000"


def test_listed_labelmaps_become_organs_on_the_grid_of_the_image(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path)
    outcomes = cohort.run()
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 3
    assert outcomes[0].facts == {
        "source": "labelmaps",
        "contrast": "t1",
        "contrast_choice": "preferred",
        "scheme": "amos22",
    }
    labelmap = read_image(cohort.output / "0000-0000_labels.nii.gz")
    assert labelmap.GetPixelID() == sitk.sitkUInt8
    assert labelmap.GetSpacing() == (2.0, 2.0, 3.0)
    labels = sitk.GetArrayFromImage(labelmap)
    assert (labels[2:5, 2:5, 2:5] == LIVER).all()
    assert np.count_nonzero(labels) == 27


def test_an_empty_labelmap_is_no_failure(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, n_scans=1)
    write_image(cohort.labelmap(0), image_of(np.zeros((8, 9, 10), np.uint8)))
    assert cohort.run()[0].status is Status.DONE


def test_each_bad_labelmap_has_its_reason(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, n_scans=5)
    cohort.scans[0] = cohort.scan(0, cohort.scans[0].sources[0].path, None)
    cohort.labelmap(1).unlink()
    write_image(cohort.labelmap(2), image_of(np.full((8, 9, 10), 77, np.uint8)))
    write_image(cohort.labelmap(3), image_of(np.ones((8, 9, 11), np.uint8)))
    cohort.labelmap(4).write_bytes(cohort.labelmap(4).read_bytes()[:-20])
    assert [outcome.reason for outcome in cohort.run()] == [
        Reason.LABELMAP_MISSING,
        Reason.LABELMAP_MISSING,
        Reason.LABEL_UNKNOWN,
        Reason.LABELMAP_OFF_GRID,
        Reason.FILE_BROKEN,
    ]


def test_a_labelmap_on_a_shifted_grid_is_refused(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path, n_scans=1)
    shifted = image_of(np.ones((8, 9, 10), np.uint8))
    shifted.SetOrigin((5.0, 0.0, 0.0))
    write_image(cohort.labelmap(0), shifted)
    assert cohort.run()[0].reason is Reason.LABELMAP_OFF_GRID


def test_only_the_scan_with_a_new_labelmap_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cohort = Cohort(tmp_path)
    cohort.run()
    assert done_scans(caplog) == ["0000-0000", "0000-0001", "0000-0002"]
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[1:3] = 1
    write_image(cohort.labelmap(1), image_of(labels))
    caplog.clear()
    cohort.run()
    assert done_scans(caplog) == ["0000-0001"]


def done_scans(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Scans that segment_organs brought through by its log; the journal's clock is too coarse."""
    events = (
        dict(word.split("=", 1) for word in message.split())
        for message in caplog.messages
        if message.startswith("event=scan_done")
    )
    return [event["scan"] for event in events if event["step"] == "segment_organs"]


def test_no_model_is_a_fault_of_the_set_up(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no model folder"):
        Cohort(tmp_path).run(source="model", scheme="mrsegmentator")
    with pytest.raises(SetupError, match="no such folder"):
        Cohort(tmp_path).run(source="model", scheme="mrsegmentator", model=tmp_path / "none")
    with pytest.raises(SetupError, match="label scheme"):
        Cohort(tmp_path).run(scheme="nonsense")


def test_labelmaps_on_a_lost_mount_are_not_missing(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path)
    files = tmp_path / "files"
    cohort.run(root=files)
    files.rename(tmp_path / "elsewhere")
    files.mkdir()
    labelling = Labelling(
        images=tmp_path / "results" / "prepare_images" / "0000",
        scheme=scheme_by_name("amos22"),
        contrasts=[Contrast.T1],
    )
    step = TakeLabelmaps(labelling, CohortRoot(files))
    scan = cohort.scans[0]
    before = Outcome(scan.scan, "prepare_images", Status.DONE, "a", facts={"contrasts": ["t1"]})
    with pytest.raises(MachineFault, match="empty"):
        step.input_identity(scan, before)
    with pytest.raises(MachineFault, match="empty"):
        step.run_scan(scan, before, lambda name: tmp_path / name)


def test_two_processes_give_the_same_labelmaps_and_measures(tmp_path: Path) -> None:
    published = {}
    for n_processes in (1, 2):
        cohort = Cohort(tmp_path / str(n_processes), n_scans=4)
        cohort.labelmap(2).unlink()
        outcomes = cohort.run(n_processes=n_processes, root=cohort.folder / "files")
        assert [outcome.reason for outcome in outcomes] == [
            *(None, None, Reason.LABELMAP_MISSING, None)
        ]
        measured = cohort.folder / "results" / "measure_volumes" / "0000"
        measure_volumes.run(
            shard=cohort.folder / "scans" / "0000.parquet",
            images=cohort.folder / "results" / "prepare_images" / "0000",
            labelmaps=cohort.output,
            output=measured,
            work=cohort.folder / "work" / "measure_volumes",
            n_processes=n_processes,
        )
        published[n_processes] = {
            path.name: path.read_bytes()
            for folder in (cohort.output, measured)
            for path in folder.iterdir()
            if path.name not in (LEDGER, JOURNAL)
        }
    assert published[1] == published[2]
    assert len(published[1]) == 7  # three labelmaps, their scheme and settings, two tables


def test_a_model_changed_in_the_middle_of_a_run_is_refused(tmp_path: Path) -> None:
    pinned = tmp_path / "digest.txt"
    pinned.write_text("0" * 64)
    digest = model_digest(MODEL)
    with pytest.raises(SetupError, match=f"{digest[:12]}.*{'0' * 12}"):
        Cohort(tmp_path / "c").run(source="model", model=MODEL, model_digest=pinned)


def test_each_gpu_gets_as_many_processes_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    cohort = Cohort(tmp_path)
    cohort.run()

    def look(step: Any, *, workers: Any, **more: Any) -> tuple[Outcome, ...]:
        seen.append([worker._labeller.gpu for worker in workers])
        return ()

    monkeypatch.setattr(segment_organs, "run_shard", look)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    model = {"source": "model", "model": MODEL, "scheme": "mrsegmentator"}
    for device, n_gpus in (("cuda", 2), ("cuda", 1), ("cpu", 2)):
        cohort.run(**model, device=device, n_processes=2, n_gpus=n_gpus)
    assert seen == [[0, 1, 0, 1], [None, None], [None, None]]
    with pytest.raises(MachineFault, match="3 GPUs were asked for"):
        cohort.run(**model, device="auto", n_gpus=3)
    with pytest.raises(SetupError, match="n_gpus is 0"):
        cohort.run(**model, n_gpus=0)
