"""The list of references: what a training writes is read, and mistakes are named by their line."""

from pathlib import Path

import pytest

from organome.domain.cases import Case, Role
from organome.domain.covariates import Sex
from organome.domain.errors import SetupError
from organome.domain.scans import Contrast, Modality
from organome.io.tables.cases import write_references
from organome.io.tables.references import read_references

HEADER = "participant\tprotocol\tdataset\tmodality\treference\tscheme"


def listed(folder: Path, *lines: str, header: str = HEADER) -> Path:
    path = folder / "references.tsv"
    path.write_text("\n".join((header, *lines)) + "\n")
    return path


@pytest.mark.parametrize("folds", [None, {"amos_0001": 3}])
def test_what_a_training_writes_is_read(tmp_path: Path, folds: dict[str, int] | None) -> None:
    case = Case(
        case="amos_0001",
        dataset="amos22",
        role=Role.TEST,
        people="amos",
        participant="0507",
        instance="0",
        array="0",
        contrast=Contrast.CT,
        image="image.nii.gz",
        reference="reference.nii.gz",
        scheme="amos22",
        sex=Sex.FEMALE,
        age_years=61.0,
    )
    reference = tmp_path / "reference.nii.gz"
    write_references(tmp_path, [case], references={"amos_0001": reference}, folds=folds)
    (found,) = read_references(tmp_path / "references.tsv")
    assert found.identity == ("amos.0507", "0", "0", "ct", 0)
    assert (found.dataset, found.modality, found.contrast) == ("amos22", Modality.CT, Contrast.CT)
    assert (found.labelmap, found.scheme) == (str(reference), "amos22")
    assert (found.sex, found.age_years) == (Sex.FEMALE, 61.0)
    assert found.fold == ("3" if folds else None)


def test_the_scheme_file_of_a_training_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ("d", Role.TEST, "d", "p", "0", "0", Contrast.CT, "i.nii.gz", "r.nii.gz")
    case = Case("d_0001", *where, scheme="mine.yaml")
    write_references(tmp_path / "test", [case], references={"d_0001": Path("r.nii.gz")})
    (found,) = read_references(tmp_path / "test" / "references.tsv")
    assert found.scheme == str(tmp_path / "mine.yaml")


def test_paths_are_relative_to_the_table_and_what_is_not_known_is_none(tmp_path: Path) -> None:
    path = listed(tmp_path, "p1\tct\tmine\tct\tlabels/1.nii.gz\tschemes/mine.yaml", "")
    (found,) = read_references(path)
    assert found.labelmap == str(tmp_path / "labels/1.nii.gz")
    assert found.scheme == str(tmp_path / "schemes/mine.yaml")
    assert found.identity == ("p1", "1", "1", "ct", 0)
    assert (found.sex, found.age_years, found.contrast, found.fold) == (None, None, None, None)


LINE = "p1\tct\tmine\tct\t1.nii.gz\tmrsegmentator"


@pytest.mark.parametrize(
    ("lines", "header", "said"),
    [
        ([LINE, LINE], HEADER, "line 3: the scan of references.tsv, line 2 once more"),
        (["p1\tct\tmine\tmr\t1.nii.gz\tmrsegmentator"], HEADER, "modality 'mr' must be one of"),
        (["p1\tct\tmine\tct\t\tmrsegmentator"], HEADER, "line 2: no reference"),
        ([f"{LINE}\tx"], f"{HEADER}\tsex", "sex 'x' must be female or male"),
        ([f"{LINE}\told"], f"{HEADER}\tage_years", "age_years 'old' is not an age"),
        ([f"{LINE}\t40"], f"{HEADER}\tage_year", "did you mean 'age_years'"),
        ([f"{LINE}\t40"], HEADER, "more fields than columns"),
        ([LINE], HEADER.replace("\t", ","), "separated by tabs"),
        ([], HEADER, "no references in it"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, lines: list[str], header: str, said: str) -> None:
    with pytest.raises(SetupError) as caught:
        read_references(listed(tmp_path, *lines, header=header))
    assert said in str(caught.value)
    assert "p1" not in str(caught.value)
