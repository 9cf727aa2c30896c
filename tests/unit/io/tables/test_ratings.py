from pathlib import Path

import pytest

from organome.domain.errors import SetupError
from organome.domain.quality import Rating
from organome.io.tables.ratings import Exclusion, read_exclusions, read_ratings

ORGANS = ("liver", "spleen")


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_last_word_of_each_rater_counts_and_two_words_are_unsure(tmp_path: Path) -> None:
    head = "scan\torgan\trating\trater\tnote\ttime"
    one = written(
        tmp_path / "one.tsv",
        head,
        "0000-0001\tliver\tfail\tA\tcut\t2026-01-02T10:00:00Z",
        "0000-0001\tliver\tpass\tA\t\t2026-01-01T10:00:00Z",
        "0000-0002\tliver\tfail\tA\t\t",
        "0000-0002\tliver\tpass\tA\tlater line, no time\t",
        "0000-0003\t\tpass\tA\t\t",
        "",
    )
    two = written(
        tmp_path / "two.tsv", head, "0000-0003\t\tfail\tB\t\t", "0000-0002\tliver\tpass\tB\t\t"
    )
    assert read_ratings([two, one], ORGANS) == {
        ("0000-0001", "liver"): Rating.FAIL,
        ("0000-0002", "liver"): Rating.PASS,
        ("0000-0003", None): Rating.UNSURE,
    }


def test_exclusions_name_scans_or_participants_with_or_without_prefixes(tmp_path: Path) -> None:
    path = written(
        tmp_path / "out.tsv",
        "participant\tscan\torgan\tinstance\treason\tby",
        "007\t\t\t3\tmoved\tme",
        "sub-008\t\t\tses-2\tas BIDS names them\tme",
        "\t0000-0001\tspleen\t\tcyst\tme",
    )
    assert read_exclusions([path], ORGANS) == [
        Exclusion(None, "007", "3", None),
        Exclusion(None, "008", "2", None),
        Exclusion("0000-0001", None, None, "spleen"),
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["scan\torgan\trating", "0-1\tlivr\tpass"], "r.tsv, line 2: organ 'livr' is not one"),
        (["scan\torgan\trating", "0-1\tliver\tgood"], "line 2: rating 'good' must be one of pass"),
        (["scan\torgan\trating", "\tliver\tpass"], "line 2: no scan"),
        (["scan,organ,rating", "a,b,c"], "no column scan and organ and rating .*separated by tabs"),
        (["scan\torgan\trating", "a\tliver\tpass\tx"], "line 2: more fields than columns"),
    ],
)
def test_mistake_names_file_and_line(lines: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=said):
        read_ratings([written(tmp_path / "r.tsv", *lines)], ORGANS)


def test_exclusion_of_nobody_is_a_mistake(tmp_path: Path) -> None:
    path = written(tmp_path / "out.tsv", "participant\treason", "\tlost")
    with pytest.raises(SetupError, match=r"out.tsv, line 2: neither scan nor participant"):
        read_exclusions([path], ORGANS)
