"""A few deliveries corrupted at random; `make fuzz` tries thousands."""

from pathlib import Path

import pytest

from fuzz.__main__ import MAX_SCAN_S, fuzz


@pytest.mark.slow
def test_corrupted_deliveries_are_rows_and_stop_nothing(tmp_path: Path) -> None:
    findings = fuzz(tmp_path, n=60, seed=42)
    assert findings.broken == []
    assert findings.n >= 60
    assert findings.rows["done"] and findings.rows["file_broken"]
    assert findings.slowest_s < 4 * MAX_SCAN_S  # a loaded machine is no fault of a scan
