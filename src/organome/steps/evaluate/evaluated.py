"""What evaluate_labels found in all shards: scans, organs, and the sets that are summarised."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.compute.geometry.arrays import Floats
from organome.domain.errors import SetupError
from organome.domain.evaluations import (
    AMOS22_ORGANS,
    EVALUATED_SCANS,
    ORGAN_METRICS,
    Compared,
    Profile,
    Reference,
    reference_identity,
)
from organome.domain.organs import ORGANS
from organome.domain.outcomes import JsonValue
from organome.domain.presence import Presence
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.parquet import read_table
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.io.tables.step_settings import read_settings

EVALUATED: Final = (Compared.COMPARED, Compared.FAILED_COUNTED)
ALL, AMOS22_SUBSET = "all", "amos22"
_ORDER: Final = {organ.name: organ.label for organ in ORGANS}
_SCANNER: Final = ("manufacturer", "scanner_model", "field_strength_t")


@dataclass(frozen=True, slots=True)
class ScanSet:
    """Scans that are summarised together.

    Attributes:
        dataset: Where they come from.
        modality: Kind of scanner.
        contrast: What they show; None: all contrasts of the dataset.
        subset: ``all`` organs that the references know, or the 13 of ``amos22``.
        scans: Frame of the scans.
        organs: Names of the organs, in order of label.
        sole_contrast: The contrast, if all of them have the same.
    """

    dataset: str
    modality: str
    contrast: str | None
    subset: str
    scans: pd.DataFrame
    organs: tuple[str, ...]
    sole_contrast: str | None

    @property
    def title(self) -> str:
        """Name of the set, for people."""
        words = [self.dataset, self.modality.upper() if not self.contrast else self.contrast]
        if self.subset == AMOS22_SUBSET:
            words.append(f"({len(self.organs)} organs of AMOS22)")
        return " ".join(words)

    @property
    def stem(self) -> str:
        """Name of the set, for files."""
        letters = (one if one.isalnum() else "_" for one in f"{self.dataset}_{self.modality}")
        return "".join(letters).lower()

    @property
    def participants(self) -> list[str]:
        """Of whom each scan is; for grouping, never shown."""
        return [str(one) for one in self.scans["participant"]]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """All scans that have a reference, and their organs.

    Attributes:
        scans: One row per scan with a reference, by its key.
        organs: One row per evaluated scan and organ; what the profile drops is NaN.
        n_without_reference: Listed scans without a reference.
        n_unlisted_references: References of scans that are not listed.
    """

    scans: pd.DataFrame
    organs: pd.DataFrame
    n_without_reference: int
    n_unlisted_references: int

    def values(self, of: ScanSet, metric: str) -> Floats:
        """Return a metric as an array (scans, classes) in the order of the set; NaN: no value."""
        wide = self.organs.pivot(index="scan", columns="organ", values=metric)
        values: Floats = wide.reindex(index=of.scans.index, columns=list(of.organs)).to_numpy(
            np.float64
        )
        return values

    def sets(self) -> Iterator[ScanSet]:
        """Yield the sets: each dataset and modality whole, on AMOS22's organs, and by contrast."""
        done = self.scans[self.scans["compared"].isin(EVALUATED)]
        for (dataset, modality), scans in done.groupby(["dataset", "modality"], sort=True):
            contrasts = sorted(scans["contrast"].dropna().unique())
            sole = contrasts[0] if len(contrasts) == 1 else None
            organs = self._organs_of(scans)
            amos22 = tuple(one.name for one in AMOS22_ORGANS)
            name = (str(dataset), str(modality))
            yield ScanSet(*name, None, ALL, scans, organs, sole)
            if set(amos22) < set(organs):
                by_label = tuple(sorted(amos22, key=_ORDER.__getitem__))
                yield ScanSet(*name, None, AMOS22_SUBSET, scans, by_label, sole)
            for contrast in contrasts if sole is None else ():
                some = scans[scans["contrast"] == contrast]
                yield ScanSet(*name, contrast, ALL, some, self._organs_of(some), contrast)

    def _organs_of(self, scans: pd.DataFrame) -> tuple[str, ...]:
        rows = self.organs[self.organs["scan"].isin(scans.index)]
        return tuple(rows.sort_values("label")["organ"].drop_duplicates())


def read_evaluated(
    *,
    scans: Path,
    results: Path,
    references: Sequence[Reference],
    profile: Profile,
    settings: dict[str, JsonValue],
) -> Evaluated:
    """Read what evaluate_labels published of all shards.

    Args:
        scans: Folder of the sample sheet.
        results: Folder that holds a folder per step, and in it one per shard.
        references: All references.
        profile: What is dropped from the means.
        settings: With which all shards must have been evaluated.

    Raises:
        SetupError: If a shard was evaluated with other settings, or no listed scan has a
            reference.
    """
    of_identity = {one.identity: one for one in references}
    rows: list[dict[str, Any]] = []
    organs: list[pd.DataFrame] = []
    n_without = 0
    for _, listing in listed_shards(scans):
        folder = results / "evaluate_labels" / listing.stem
        if read_settings(folder) != settings:
            raise SetupError(f"{folder}: evaluated with other settings; run evaluate_labels again")
        found = read_table(folder / EVALUATED_SCANS.file_name).to_pylist()
        by_key = {row["scan"]: row for row in found}
        scanners = _scanners(results / "prepare_images" / listing.stem)
        for scan in read_shard(listing):
            reference = of_identity.pop(reference_identity(scan), None)
            if reference is None:
                n_without += 1
                continue
            row = by_key[scan.scan]
            contrast = reference.contrast or row["contrast"]
            rows.append(
                {
                    **row,
                    "shard": listing.stem,
                    "participant": f"{reference.dataset}\t{scan.participant}",
                    "labelled_contrast": row["contrast"],
                    "contrast": contrast and str(contrast),
                    "dataset": reference.dataset,
                    "modality": reference.modality.value,
                    "sex": reference.sex and reference.sex.value,
                    "age_years": reference.age_years,
                    "fold": reference.fold,
                    "reference": reference,
                    "scanner": scanners.get(scan.scan),
                }
            )
        organs.append(read_table(folder / ORGAN_METRICS.file_name).to_pandas())
    if not rows:
        raise SetupError(
            "no reference is of a listed scan: participant, instance, array and protocol must be as"
            " in the list of scans"
        )
    metrics = pd.concat(organs, ignore_index=True)
    if not profile.counts_falsely_added:
        added = metrics["presence"] == Presence.FALSELY_ADDED.value
        columns = ["dice", "surface_dice", "centreline_dice", "hd95_penalised_mm"]
        metrics.loc[added, columns] = np.nan
    frame = pd.DataFrame(rows).set_index("scan", drop=False).rename_axis(None)
    return Evaluated(frame, metrics, n_without, len(of_identity))


def _scanners(prepared: Path) -> dict[str, str]:
    """Name the scanner of each scan by what its header says; nothing where images are not kept."""
    if not (prepared / LEDGER).is_file():
        return {}
    named = {}
    for key, outcome in read_ledger(prepared / LEDGER).items():
        maker, model, field_t = (outcome.facts.get(name) for name in _SCANNER)
        words = [maker, model, f"{field_t:g} T" if field_t else None]
        named[key] = " ".join(str(word) for word in words if word)
    return named
