from types import SimpleNamespace
from typing import Any

import pandas as pd

from organome.steps.report.plot_data import choose_shown


def test_people_drawn_by_chance_are_shown_whole_beside_the_doubtful() -> None:
    # 100 people of two scans each; their first scans are the more doubtful half.
    scans = pd.DataFrame(
        {
            "scan": [f"{visit}-{person:03d}" for visit in (1, 2) for person in range(100)],
            "participant": [f"p{person:03d}" for _ in range(2) for person in range(100)],
        }
    )
    cohort: Any = SimpleNamespace(scans=scans, worst=[SimpleNamespace(scan="2-099")])
    shown = choose_shown(cohort, 40, seed=3)
    doubtful = {"2-099", *(f"1-{person:03d}" for person in range(19))}
    assert doubtful <= {*shown["scan"]}
    others = {*shown["scan"]} - doubtful
    assert len(others) in (20, 21)
    for scan in others:
        assert {f"1-{scan[2:]}", f"2-{scan[2:]}"} <= {*shown["scan"]}
    # Cut in order of doubt, second visits would be left out.
    assert sum(scan.startswith("2") for scan in others) >= 10
    assert shown["scan"].tolist() == [one for one in scans["scan"] if one in {*shown["scan"]}]
    assert shown.equals(choose_shown(cohort, 40, seed=3))
