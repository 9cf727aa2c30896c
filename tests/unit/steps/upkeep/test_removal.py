"""What is taken out of one file, and what is counted as left."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from organome.steps.upkeep.removal import LEFT, Removal, files_below

ROWS = "rows of tables"


def take_out(
    path: Path, relative: str = "own/table", participant: str = "1000020"
) -> dict[str, int]:
    removal = Removal(frozenset({participant}), frozenset({"0000-0002"}), apply=True)
    return dict(removal.from_file(path, Path(relative)))


def test_numbers_beside_a_column_of_participants_are_not_names(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    others = "eid,n_voxels,fat\n1000010,1000020,0.1000020\n1000030,-1000020,1000020.5\n"
    path.write_text(others + "1000020,7,2\n")
    assert take_out(path) == {ROWS: 1}
    assert path.read_text() == others


@pytest.mark.parametrize(
    "text",
    [
        "ID;age\n{};50\n",
        "\ufeffparticipant,age\n{},50\n",
        "f.eid\tage\n{}\t50\n",
        '"eid","age"\n"{}","50"\n',
        "eid,age\n{}.0,50\n",
        "age,eid\n50,{}.\n",
        "name,eid\nsub-{},7\n",
        'note,ID\n"a, b",{}\n',
        "eid,age\n{},50,\n",
        "age,files\n50,/data/{}.zip\n",
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_rows_go_by_the_columns_that_covariates_know(
    text: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"table{suffix}"
    heading, row = text.splitlines(keepends=True)
    path.write_text(heading + row.format(1000010) + row.format(1000020), encoding="utf-8")
    assert take_out(path) == {ROWS: 1}
    assert path.read_text(encoding="utf-8") == heading + row.format(1000010)


@pytest.mark.parametrize(
    "text", ["1000010\n1000020\n", "who,n\n1000020,5\n", 'eid,n\n"1",1000020,5\n', "1000020.0;1\n"]
)
def test_a_number_that_may_be_a_name_is_counted_as_left(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert take_out(path) == {LEFT: 1}
    assert path.read_text() == text
    assert take_out(path, "results/tables/table.csv") == {}


@pytest.mark.parametrize(
    "names",
    [
        pa.array([1000010, 1000020, None], pa.int64()),
        pa.array([1000020.5, 1000020.0, None], pa.float64()),
        pa.array([float("nan"), 1000020.0, float("inf")], pa.float64()),
        pa.array(["1000010", "1000020", None]).dictionary_encode(),
        pa.array([1000010, 1000020, None]).dictionary_encode(),
        pa.array(["sub-1000010", "sub-1000020", None], pa.large_string()),
    ],
    ids=["int64", "float64", "no numbers", "words", "categories", "bids"],
)
@pytest.mark.parametrize("column", ["ID", "f.eid"])
def test_rows_of_parquet_go_whatever_the_type_of_names(
    names: pa.Array, column: str, tmp_path: Path
) -> None:
    path = tmp_path / "covariates.parquet"
    pq.write_table(pa.table({column: names, "n_voxels": [1000020, 2, 3]}), path)
    before = pq.read_table(path).schema
    assert take_out(path) == {ROWS: 1}
    after = pq.read_table(path)
    assert after.schema.equals(before, check_metadata=True)
    assert after.column("n_voxels").to_pylist() == [1000020, 3]


def test_dictionaries_of_parquet_lose_the_names_of_rows_that_went(tmp_path: Path) -> None:
    path = tmp_path / "covariates.parquet"
    names = pa.array(["1000010", "1000020"]).dictionary_encode()
    files = pa.array(["1000010.zip", "1000020.zip"]).dictionary_encode()
    grades = pa.array(["low", "high"]).cast(pa.dictionary(pa.int8(), pa.string(), ordered=True))
    pq.write_table(pa.table({"ID": names, "file": files, "grade": grades}), path)
    assert take_out(path) == {ROWS: 1}
    after = pq.read_table(path)
    left = [
        after.column(name).combine_chunks().dictionary.to_pylist() for name in after.schema.names
    ]
    assert left == [["1000010"], ["1000010.zip"], ["low", "high"]]


def test_parquet_without_a_known_column_is_counted_as_left(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"pseudonym": ["1000010", "1000020"]}), path)
    assert take_out(path) == {LEFT: 1}
    assert take_out(path, "results/tables/own.parquet") == {}


def test_an_id_beside_a_surer_column_only_numbers_rows(tmp_path: Path) -> None:
    rows = {"id": [11, 12, 13], "participant": ["12", "11", "13"]}
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(rows), path)
    assert take_out(path, participant="12") == {ROWS: 1}
    assert pq.read_table(path).column("id").to_pylist() == [12, 13]
    path = tmp_path / "table.csv"
    path.write_text("id,participant\n11,12\n12,11\n")
    assert take_out(path, participant="12") == {ROWS: 1}
    assert path.read_text() == "id,participant\n12,11\n"


def test_what_is_to_be_left_is_left_through_links_too(tmp_path: Path) -> None:
    delivery, run = tmp_path / "delivery", tmp_path / "run"
    for folder in (delivery, run):
        folder.mkdir()
        (folder / "participants.tsv").touch()
    (run / "data").symlink_to(delivery)
    assert list(files_below(run, [delivery])) == [run / "participants.tsv"]
    (tmp_path / "alias").symlink_to(run)
    (run / "inner").mkdir()
    (run / "inner" / "file").touch()
    left = [tmp_path / "alias" / "inner", delivery]
    assert list(files_below(run, left)) == [run / "participants.tsv"]
