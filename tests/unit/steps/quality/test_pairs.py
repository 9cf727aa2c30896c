from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from organome.steps.quality.pairs import FACTS, SeveralVisits, pair_rows


@pytest.mark.parametrize(
    ("instances", "dates", "months", "in_order"),
    [
        (["post", "pre"], ["2019-01-01", "2016-01-01"], [None, None], ["pre", "post"]),
        (["1", "followup"], [None, "2019-01-01"], ["2016-05", "2019-01"], ["1", "followup"]),
        (["post", "pre"], [None, "2016-01-01"], ["2019-01", None], ["post", "pre"]),  # by name
        (["10", "9"], ["2016-01-01"] * 2, ["2016-01"] * 2, ["9", "10"]),  # on one day
        (["c", "a", "b"], [None] * 3, ["2016-01", "2018-02", "2017-03"], ["c", "b", "a"]),
    ],
)
def test_visits_are_in_order_of_time_where_it_is_known_of_all(
    instances: Sequence[str],
    dates: Sequence[str | None],
    months: Sequence[str | None],
    in_order: Sequence[str],
) -> None:
    visits = pd.DataFrame({"instance": instances, "acq_month": months}).assign(
        cohort="c", participant="p", protocol="dixon", contrast="water", **dict.fromkeys(FACTS, "x")
    )
    visits["scan_date"] = pd.to_datetime(pd.Series(dates))
    n = len(visits)
    several = SeveralVisits(visits, np.ones((n, 1)), np.zeros((n, 1), np.int8))
    rows = list(pair_rows(several, ["liver"], {}))
    assert [row["first_instance"] for row in rows] == list(in_order[:-1])
    assert [row["second_instance"] for row in rows] == list(in_order[1:])
    assert all((row["interval_years"] or 0) >= 0 for row in rows)
