"""From a run to an annotator and back, with segments by other programs and numbers by hand."""

import json
import logging
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from doubles.annotated import (
    LEFT_KIDNEY,
    LIVER,
    SECRET,
    SPLEEN,
    picture_of,
    predicted,
    write_run,
)
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.steps.annotate import export_round, import_round, show_rounds
from organome.steps.annotate.choosing import Strategy
from organome.steps.annotate.rounds import read_people, read_rounds

KEY = "0000-0001"
NAMES = {LIVER: "liver", SPLEEN: "spleen", LEFT_KIDNEY: "left_kidney"}


@pytest.fixture
def rounds(tmp_path: Path) -> Path:
    """A round of four scans."""
    write_run(tmp_path / "run", 6)
    exported(tmp_path, n=4)
    return tmp_path / "rounds"


def exported(folder: Path, *, n: int, strategy: Strategy = Strategy.RANDOM) -> Any:
    run, output = folder / "run", folder / "rounds"
    return export_round.run(run=run, output=output, n=n, strategy=strategy)


def first_key(rounds: Path) -> str:
    return sorted(read_rounds(rounds)[-1].scans)[0]


def write_segments(
    rounds: Path, key: str, segments: list[tuple[str, np.ndarray]], **more: str
) -> None:
    """Save masks as 3D Slicer does: the first layer that is free takes one, else a new layer."""
    layers: list[np.ndarray] = []
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "kinds": ["domain"] * 3,
        "space directions": [[1.5, 0, 0], [0, 2.0, 0], [0, 0, 3.0]],
        "space origin": [-7.0, 4.0, 11.0],
        "encoding": "gzip",
    }
    for number, (name, mask_zyx) in enumerate(segments):
        place = next((k for k, one in enumerate(layers) if not one[mask_zyx].any()), len(layers))
        if place == len(layers):
            layers.append(np.zeros(mask_zyx.shape, np.uint8))
        value = int(layers[place].max()) + 1
        layers[place][mask_zyx] = value
        for word, text in (("ID", f"id{number}"), ("Name", name), ("Layer", place)):
            header[f"Segment{number}_{word}"] = str(text)
        header[f"Segment{number}_LabelValue"] = str(value)
    voxels = np.stack([one.T for one in layers]) if len(layers) > 1 else layers[0].T
    if len(layers) > 1:
        header["kinds"] = ["list", "domain", "domain", "domain"]
        header["space directions"] = [[np.nan] * 3, *header["space directions"]]
    folder = next(iter(sorted(rounds.glob("round_*"))[-1:])) / "edited"
    nrrd.write(str(folder / f"{key}.seg.nrrd"), voxels, header | more)


def masks() -> dict[str, np.ndarray]:
    labels_zyx = predicted()
    return {name: labels_zyx == label for label, name in NAMES.items()}


def accepted(rounds: Path, key: str) -> np.ndarray:
    path = sorted(rounds.glob("round_*"))[-1] / "accepted" / f"{key}.nii.gz"
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_pynrrd_reads_what_slicer_gets(rounds: Path) -> None:
    key = first_key(rounds)
    voxels, header = nrrd.read(str(rounds / "round_001" / "slicer" / f"{key}.seg.nrrd"))
    assert np.array_equal(voxels.T, predicted())
    assert np.allclose(header["space directions"], np.diag([1.5, 2.0, 3.0]))
    assert np.allclose(header["space origin"], [-7.0, 4.0, 11.0])
    assert header["space"] == "left-posterior-superior"
    found = {}
    for number in range(3):
        assert header[f"Segment{number}_Layer"] == "0"
        value = int(header[f"Segment{number}_LabelValue"])
        found[value] = header[f"Segment{number}_Name"]
        x0, x1, y0, y1, z0, z1 = map(int, header[f"Segment{number}_Extent"].split())
        z, y, x = np.nonzero(predicted() == value)
        assert (x.min(), x.max(), y.min(), y.max(), z.min(), z.max()) == (x0, x1, y0, y1, z0, z1)
        assert len(header[f"Segment{number}_Color"].split()) == 3
    assert found == NAMES
    assert "Segment3_ID" not in header


def test_the_datastore_is_as_monai_label_wants_it(rounds: Path) -> None:
    store = rounds / "round_001" / "datastore"
    index = json.loads((store / "datastore_v2.json").read_text())
    assert sorted(index["objects"]) == sorted(read_rounds(rounds)[0].scans)
    for key, one in index["objects"].items():
        assert one["image"]["ext"] == one["labels"]["original"]["ext"] == ".nii.gz"
        assert (store / f"{key}.nii.gz").is_file()
        assert (store / "labels" / "original" / f"{key}.nii.gz").is_file()
        names = one["labels"]["original"]["info"]["params"]["label_names"]
        assert names == {organ.name: organ.label for organ in ORGANS}
    images = {path.name for path in store.glob("*.nii.gz")}
    assert images == {f"{key}.nii.gz" for key in index["objects"]}
    assert (store / "labels" / "final").is_dir()


def test_nobody_is_named_outside_of_one_file(
    rounds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = first_key(rounds)
    write_segments(rounds, key, list(masks().items()))
    summary = import_round.run(rounds=rounds)
    for path in rounds.rglob("*"):
        assert SECRET not in str(path.relative_to(tmp_path))
        if path.is_file() and path.name != "participants.tsv":
            assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in caplog.text + str(summary) + str(show_rounds.run(rounds=rounds))
    people = rounds / "participants.tsv"
    assert people.stat().st_mode & 0o077 == 0
    assert {row["participant"] for row in read_people(rounds)} <= {f"{SECRET}{k}" for k in range(5)}


def test_no_scan_comes_twice_and_a_round_waits_for_labels(rounds: Path, tmp_path: Path) -> None:
    before = (rounds / "round_001" / "round.json").read_bytes()
    waiting = exported(tmp_path, n=4)
    assert (waiting.is_new, waiting.number) == (False, 1)
    assert (rounds / "round_001" / "round.json").read_bytes() == before
    write_segments(rounds, first_key(rounds), list(masks().items()))
    import_round.run(rounds=rounds)
    second = exported(tmp_path, n=4)
    assert (second.number, second.n_scans) == (2, 1)  # of five that are done, one was left
    one, two = read_rounds(rounds)
    assert not set(one.scans) & set(two.scans)
    write_segments(rounds, first_key(rounds), list(masks().items()))
    import_round.run(rounds=rounds)
    with pytest.raises(SetupError, match="no scan is left"):
        exported(tmp_path, n=4)


def test_a_second_cohort_begins_no_round_in_the_folder(rounds: Path, tmp_path: Path) -> None:
    write_segments(rounds, first_key(rounds), list(masks().items()))
    import_round.run(rounds=rounds)
    write_run(tmp_path / "run", 6, scans={key: {"cohort": "other"} for key in range(6)})
    before = {path: path.read_bytes() for path in rounds.rglob("*") if path.is_file()}
    with pytest.raises(SetupError, match=r"would be of 2 cohorts \(other, tiny\)") as caught:
        exported(tmp_path, n=1)
    assert SECRET not in str(caught.value)
    assert {path: path.read_bytes() for path in rounds.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in rounds.iterdir()) == ["participants.tsv", "round_001"]
    assert export_round.run(run=tmp_path / "run", output=tmp_path / "others", n=1).is_new


def test_a_round_of_another_cohort_that_was_cut_off_counts_for_nothing(
    rounds: Path, tmp_path: Path
) -> None:
    write_segments(rounds, first_key(rounds), list(masks().items()))
    import_round.run(rounds=rounds)
    people = rounds / "participants.tsv"
    head, *rows = people.read_text().splitlines()
    cut_off = rows[0].replace("1\t", "2\t", 1).replace("\ttiny\t", "\tother\t")
    people.write_text("\n".join([head, *rows, cut_off]) + "\n")
    assert exported(tmp_path, n=1).number == 2
    assert {row["cohort"] for row in read_people(rounds)} == {"tiny"}


def test_a_round_by_its_number_is_begun_once(rounds: Path, tmp_path: Path) -> None:
    write_segments(rounds, first_key(rounds), list(masks().items()))
    import_round.run(rounds=rounds)
    ask = {"run": tmp_path / "run", "output": rounds, "n": 1, "strategy": Strategy.RANDOM}
    again = export_round.run(**ask, number=1)
    assert (again.is_new, again.number, again.n_scans) == (False, 1, 4)
    assert "labels have come back" in str(again)
    with pytest.raises(SetupError, match="--number is 3, and the next round is 2"):
        export_round.run(**ask, number=3)
    assert export_round.run(**ask, number=2).is_new


def test_the_same_export_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name / "run", 4)
        exported(tmp_path / name, n=2)
    for path in (tmp_path / "a" / "rounds").rglob("*"):
        if path.is_file():
            other = tmp_path / "b" / path.relative_to(tmp_path / "a")
            assert path.read_bytes() == other.read_bytes(), path


def test_deleted_reordered_and_added_segments(rounds: Path) -> None:
    key, drawn = first_key(rounds), masks()
    heart = np.zeros_like(drawn["liver"])
    heart[5, 5:7, 1:3] = True
    write_segments(
        rounds, key, [("heart", heart), ("spleen", drawn["spleen"]), ("liver", drawn["liver"])]
    )
    assert import_round.run(rounds=rounds).refused == ()
    expected = predicted()
    expected[expected == LEFT_KIDNEY] = 0
    expected[heart] = next(one.label for one in ORGANS if one.name == "heart")
    assert np.array_equal(accepted(rounds, key), expected)
    image = sitk.ReadImage(str(rounds / "round_001" / "datastore" / f"{key}.nii.gz"))
    made = sitk.ReadImage(str(rounds / "round_001" / "accepted" / f"{key}.nii.gz"))
    assert made.GetOrigin() == image.GetOrigin()
    assert made.GetDirection() == image.GetDirection()


def test_several_layers_and_overlap(rounds: Path) -> None:
    key, drawn = first_key(rounds), masks()
    # Its own layer, and still no voxel twice: Slicer leaves layers as they came about.
    liver = drawn["liver"].copy()
    grown = drawn["spleen"] | liver
    write_segments(rounds, key, [("liver", liver), ("spleen", grown)])
    ((key_, why),) = import_round.run(rounds=rounds).refused
    assert key_ == key
    assert "overlap" in why
    assert not (rounds / "round_001" / "accepted").exists()
    layers = np.stack(
        [np.where(drawn[name], 1, 0).astype(np.uint8).T for name in ("spleen", "liver")]
    )
    header = {"Segment0_ID": "a", "Segment0_Name": "spleen", "Segment0_Layer": "0"}
    header |= {"Segment1_ID": "b", "Segment1_Name": "liver", "Segment1_Layer": "1"}
    header |= {"Segment0_LabelValue": "1", "Segment1_LabelValue": "1"}
    grid = {
        "space": "left-posterior-superior",
        "kinds": ["list", "domain", "domain", "domain"],
        "space directions": [[np.nan] * 3, [1.5, 0, 0], [0, 2.0, 0], [0, 0, 3.0]],
        "space origin": [-7.0, 4.0, 11.0],
    }
    path = rounds / "round_001" / "edited" / f"{key}.seg.nrrd"
    nrrd.write(str(path), layers, {**grid, **header})
    assert import_round.run(rounds=rounds).n_accepted == 1
    expected = np.where(drawn["liver"], LIVER, 0) + np.where(drawn["spleen"], SPLEEN, 0)
    assert np.array_equal(accepted(rounds, key), expected)


@pytest.mark.parametrize(
    ("names", "word"),
    [(("Segment_1", "spleen"), "'Segment_1'"), (("liver", "liver"), "two segments")],
)
def test_renamed_segments_are_refused_by_name(
    rounds: Path, names: tuple[str, str], word: str
) -> None:
    key, drawn = first_key(rounds), masks()
    write_segments(rounds, key, [(names[0], drawn["liver"]), (names[1], drawn["spleen"])])
    summary = import_round.run(rounds=rounds)
    assert not summary.holds
    assert f"{key}: refused" in str(summary)
    assert word in str(summary)


def submit(rounds: Path, key: str, labels_zyx: np.ndarray, names: list[str] | None) -> None:
    """Submit labels as MONAI Label's plugin for 3D Slicer does."""
    store = rounds / "round_001" / "datastore"
    path = store / "labels" / "final" / f"{key}.nii.gz"
    sitk.WriteImage(picture_of(labels_zyx), str(path))
    index = json.loads((store / "datastore_v2.json").read_text())
    info: dict[str, Any] = {"ts": 1, "name": path.name}
    if names is not None:
        info["label_info"] = [{"name": name, "idx": k + 1} for k, name in enumerate(names)]
    index["objects"][key]["labels"]["final"] = {"ext": ".nii.gz", "info": info}
    (store / "datastore_v2.json").write_text(json.dumps(index))


def test_monai_label_numbers_by_order_and_idx_says_nothing(rounds: Path) -> None:
    key, drawn = first_key(rounds), masks()
    # The liver was deleted; idx of the kidney is 3, its value 2.
    labels_zyx = (drawn["spleen"] * 1 + drawn["left_kidney"] * 2).astype(np.uint8)
    submit(rounds, key, labels_zyx, ["background", "spleen", "left_kidney"])
    assert import_round.run(rounds=rounds).refused == ()
    expected = predicted()
    expected[expected == LIVER] = 0
    assert np.array_equal(accepted(rounds, key), expected)


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["spleen", "left_kidney", "liver"], "names 3 segments, its labels go up to 2"),
        (None, "nothing names its labels"),
        (["spleen", "tumour"], "'tumour'"),
    ],
)
def test_labels_that_nothing_names_are_refused(
    rounds: Path, names: list[str] | None, word: str
) -> None:
    key, drawn = first_key(rounds), masks()
    labels_zyx = (drawn["spleen"] * 1 + drawn["left_kidney"] * 2).astype(np.uint8)
    submit(rounds, key, labels_zyx, names)
    ((_, why),) = import_round.run(rounds=rounds).refused
    assert word in why


def test_labels_in_both_places_are_refused(rounds: Path) -> None:
    key = first_key(rounds)
    submit(rounds, key, predicted(), None)
    write_segments(rounds, key, list(masks().items()))
    ((_, why),) = import_round.run(rounds=rounds).refused
    assert "twice" in why


def test_turned_labels_come_back_and_others_are_refused(rounds: Path) -> None:
    one, other = sorted(read_rounds(rounds)[0].scans)[:2]
    folder = rounds / "round_001" / "slicer"
    edited = rounds / "round_001" / "edited"
    for key, change in ((one, "RAS"), (other, "moved")):
        image = sitk.ReadImage(str(folder / f"{key}.seg.nrrd"))
        names = {name: image.GetMetaData(name) for name in image.GetMetaDataKeys()}
        if change == "moved":
            image.SetOrigin((0.0, 0.0, 0.0))
        else:
            image = sitk.DICOMOrient(image, change)
        for name, text in names.items():
            if name.startswith("Segment"):
                image.SetMetaData(name, text)
        sitk.WriteImage(image, str(edited / f"{key}.seg.nrrd"))
    summary = import_round.run(rounds=rounds)
    assert [key for key, _ in summary.refused] == [other]
    assert np.array_equal(accepted(rounds, one), predicted())


def test_the_status_by_hand(rounds: Path) -> None:
    one, other = sorted(read_rounds(rounds)[0].scans)[:2]
    drawn = masks()
    smaller = drawn["liver"].copy()
    smaller[2] = False  # 9 of 18 voxels are left: Dice 2 * 9 / (18 + 9)
    spleen, kidney = drawn["spleen"], drawn["left_kidney"]
    write_segments(rounds, one, [("spleen", spleen), ("liver", smaller), ("left_kidney", kidney)])
    write_segments(rounds, other, [("liver", drawn["liver"]), ("left_kidney", kidney)])
    import_round.run(rounds=rounds)
    (rounds / "round_001" / "minutes.tsv").write_text(f"scan\tminutes\n{one}\t12\n{other}\t19\n")
    (status,) = show_rounds.run(rounds=rounds).rounds
    assert (status.n_scans, status.n_accepted, status.minutes) == (4, 2, 15.5)
    liver_dice = 2 * 9 / (18 + 9)
    of_scans = ((liver_dice + 1 + 1) / 3, (1 + 0 + 1) / 3)
    assert status.dice_median == pytest.approx(sum(of_scans) / 2, abs=1e-6)
    by_organ = {organ.organ: organ for organ in status.organs}
    assert by_organ["spleen"].dice_median == pytest.approx(0.5)
    assert by_organ["liver"].dice_min == pytest.approx(liver_dice, abs=1e-6)
    assert [by_organ[name].n_edited for name in ("spleen", "liver", "left_kidney")] == [1, 1, 0]
    text = str(show_rounds.run(rounds=rounds)).splitlines()
    assert text[1] == "1\trandom\t4\t2\t0.778\t15.5\t2"


def test_minutes_that_nobody_noted_are_blank(rounds: Path) -> None:
    one, *others = sorted(read_rounds(rounds)[0].scans)
    minutes = rounds / "round_001" / "minutes.tsv"
    blank = (f"{others[0]}\t", f"{others[1]}\t ", others[2])  # the last by an editor that trims
    minutes.write_text("\n".join(["scan\tminutes", f"{one}\t12.5", "", *blank, " "]) + "\n")
    (status,) = show_rounds.run(rounds=rounds).rounds
    assert status.minutes == 12.5
    minutes.write_text("\n".join(["scan\tminutes", *blank]) + "\n")
    assert show_rounds.run(rounds=rounds).rounds[0].minutes is None


@pytest.mark.parametrize("cell", ["12 min", "nan", "3,5"])
def test_minutes_that_are_no_number_are_named_by_their_line(rounds: Path, cell: str) -> None:
    one, other = sorted(read_rounds(rounds)[0].scans)[:2]
    minutes = rounds / "round_001" / "minutes.tsv"
    minutes.write_text(f"scan\tminutes\n{one}\t12\n\n{other}\t{cell}\n")
    with pytest.raises(SetupError, match=r"minutes\.tsv, line 4: a cell is not a number"):
        show_rounds.run(rounds=rounds)


def test_imported_again_the_last_word_counts(rounds: Path) -> None:
    key, drawn = first_key(rounds), masks()
    write_segments(rounds, key, [("liver", drawn["liver"])])
    import_round.run(rounds=rounds)
    write_segments(rounds, key, list(drawn.items()))
    import_round.run(rounds=rounds)
    assert np.array_equal(accepted(rounds, key), predicted())
    (status,) = show_rounds.run(rounds=rounds).rounds
    assert status.dice_median == 1.0


def test_values_without_names_are_refused_even_if_they_look_right(rounds: Path) -> None:
    key = first_key(rounds)
    path = rounds / "round_001" / "edited" / f"{key}.seg.nrrd"
    sitk.WriteImage(picture_of(predicted()), str(path))
    ((_, why),) = import_round.run(rounds=rounds).refused
    assert "nothing names its labels" in why


def test_all_segments_may_be_deleted(rounds: Path) -> None:
    key = first_key(rounds)
    path = rounds / "round_001" / "edited" / f"{key}.seg.nrrd"
    sitk.WriteImage(picture_of(np.zeros_like(predicted())), str(path))
    assert import_round.run(rounds=rounds).refused == ()
    assert not accepted(rounds, key).any()


def test_a_round_that_was_cut_off_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "run", 4)

    def cut(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(export_round, "publish_folder", cut)
        with pytest.raises(KeyboardInterrupt):
            exported(tmp_path, n=3)
    assert read_rounds(tmp_path / "rounds") == []
    assert exported(tmp_path, n=3).n_scans == 3
    assert [row["round"] for row in read_people(tmp_path / "rounds")] == ["1"] * 3


def test_a_run_that_kept_no_images_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 3)
    for path in run.rglob("*_t1.nii.gz"):
        path.unlink()
    with pytest.raises(SetupError, match="keep_images: true"):
        exported(tmp_path, n=2)
    assert read_rounds(tmp_path / "rounds") == []


def test_a_refused_import_keeps_the_edits_of_accepted_labels(rounds: Path) -> None:
    key, drawn = first_key(rounds), masks()
    write_segments(rounds, key, list(drawn.items()))
    import_round.run(rounds=rounds)
    edits = rounds / "round_001" / "edits.tsv"
    before = edits.read_bytes()
    assert key.encode() in before
    write_segments(rounds, key, [("tumour", drawn["liver"])])
    assert not import_round.run(rounds=rounds).holds
    assert edits.read_bytes() == before
    assert np.array_equal(accepted(rounds, key), predicted())


@pytest.mark.parametrize("is_cut", [True, False])
@pytest.mark.parametrize("place", ["datastore", "datastore/labels/original"])
def test_a_scan_whose_files_are_damaged_or_gone_is_refused_alone(
    rounds: Path, place: str, is_cut: bool
) -> None:
    bad, good = sorted(read_rounds(rounds)[0].scans)[:2]
    for key in (bad, good):
        write_segments(rounds, key, list(masks().items()))
    path = rounds / "round_001" / place / f"{bad}.nii.gz"
    if is_cut:
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.unlink()
    summary = import_round.run(rounds=rounds)
    ((key, why),) = summary.refused
    assert (key, summary.n_accepted) == (bad, 1)
    assert why.startswith(f"{place}/{bad}.nii.gz: ")
    assert path.exists() == is_cut
    assert not (rounds / "round_001" / "accepted" / f"{bad}.nii.gz").exists()
    assert np.array_equal(accepted(rounds, good), predicted())
