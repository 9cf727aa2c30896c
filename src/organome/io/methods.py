"""A paragraph for a paper, with versions, settings and counts of a run; names nobody."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from organome import __version__
from organome.domain.errors import OrganomeError, SetupError
from organome.domain.models import ModelNote
from organome.domain.outcomes import Status
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.domain.wording import counted
from organome.io.models.folders import read_note
from organome.io.models.places import locate_model
from organome.io.runs import Run
from organome.io.tables.step_settings import read_settings

_SCAN_COLUMNS: Final = (
    *("cohort", "participant", "instance", "protocol", "status", "reason", "contrast"),
    *("label_source", "scheme", "model_name", "model_digest", "organome_version"),
)
_REFERENCES: Final = {
    "organome": "The Organome developers. Organome {version}.",
    "nnunet": "Isensee F, et al. nnU-Net: a self-configuring method for deep learning-based "
    "biomedical image segmentation. Nature Methods 2021;18:203-211.",
    "snakemake": "Mölder F, et al. Sustainable data analysis with Snakemake. F1000Research "
    "2021;10:33.",
    "ibsi": "Zwanenburg A, et al. The Image Biomarker Standardization Initiative. Radiology "
    "2020;295:328-338.",
    "pyradiomics": "van Griethuysen JJM, et al. Computational radiomics system to decode the "
    "radiographic phenotype. Cancer Research 2017;77:e104-e107.",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run says of itself.

    Attributes:
        scans: The table of scans, some of its columns.
        n_by_organ_reason: Rows of organs by why they have no volume; None: those that have one.
        config: The configuration; empty where it lies elsewhere.
        settings: Settings of the segmentation, as they lie beside its results.
        model: What was installed; None where that is not known.
    """

    scans: pa.Table
    n_by_organ_reason: Mapping[str | None, int]
    config: Mapping[str, Any]
    settings: Mapping[str, Any]
    model: ModelNote | None

    def values(self, column: str) -> list[str]:
        """Return the values of a column, nulls left out, sorted."""
        return sorted({str(one) for one in self.scans[column].to_pylist() if one is not None})

    def counts(self, column: str) -> list[tuple[str, int]]:
        """Count the values of a column, nulls left out, the most frequent first."""
        return Counter(filter(None, self.scans[column].to_pylist())).most_common()


def read_facts(place: Run) -> Facts:
    """Read what a run says of itself.

    Raises:
        SetupError: It has no tables.
    """
    folder = place.tables / SCANS.name
    if not any(folder.glob("*.parquet")):
        raise SetupError(f"{place.folder}: no tables yet; `organome run` makes them")
    import pyarrow.dataset as ds  # here: pandas comes with it

    scans = ds.dataset(folder, format="parquet").to_table(columns=list(_SCAN_COLUMNS))
    organs = ds.dataset(place.tables / ORGAN_ROWS.name, format="parquet")
    reasons: Counter[str | None] = Counter()
    for piece in organs.to_batches(columns=["status", "na_reason"]):
        of_done = piece.filter(ds.field("status") == Status.DONE.value)
        reasons.update(of_done.column("na_reason").to_pylist())
    config: dict[str, Any] = {}
    note = None
    with suppress(OrganomeError):
        config = place.config()
        note = read_note(locate_model(config["segment"]["model"], relative_to=place.folder))
    return Facts(scans, reasons, config, _segment_settings(place), note)


def _segment_settings(place: Run) -> Mapping[str, Any]:
    for folder in sorted((place.results / "segment_organs").glob("*")):
        with suppress(SetupError):
            return read_settings(folder)
    return {}


def methods_text(facts: Facts, *, counts: bool = True) -> str:
    """Write the paragraph, and the references below it.

    Args:
        facts: What the run says of itself.
        counts: Whether it says how many; without, nothing can be had by subtraction.
    """
    sentences = _sentences(facts, counts=counts)
    return f"{' '.join(sentences)}\n\n" + "\n".join(_references(facts)) + "\n"


def _sentences(facts: Facts, *, counts: bool) -> Iterator[str]:
    scans = facts.scans
    if not counts:
        versions, protocols = (_joined(facts.values(n)) for n in ("organome_version", "protocol"))
        yield f"Organs were measured with Organome {versions} in scans ({protocols})."
        yield from _on_stations(facts)
        yield from _on_labelmaps(facts, counts=False)
        yield from _on_radiomics(facts)
        return
    people = set(zip(*(scans[name].to_pylist() for name in ("cohort", "participant")), strict=True))
    visits = scans.group_by(["cohort", "participant", "instance"]).aggregate([]).num_rows
    versions = _joined(facts.values("organome_version"))
    yield (
        f"Organs were measured with Organome {versions} in"
        f" {counted(scans.num_rows, 'listed scan')} ({_joined(facts.values('protocol'))}) of"
        f" {counted(len(people), 'participant')} at {counted(visits, 'visit')} of"
        f" {_joined(facts.values('cohort'))}."
    )
    yield from _on_stations(facts)
    yield from _on_labelmaps(facts, counts=True)
    by_status = dict(facts.counts("status"))
    n_done = by_status.get(Status.DONE, 0)
    share = f"{100 * n_done / scans.num_rows:.1f} %" if scans.num_rows else "none"
    yield f"{counted(n_done, 'scan')} ({share}) went through all steps."
    if reasons := facts.counts("reason"):
        yield f"The others did not: {_named(reasons)}."
    yield from _on_organs(facts)
    yield from _on_radiomics(facts)


def _on_stations(facts: Facts) -> Iterator[str]:
    if facts.config:
        joined = facts.config["stations"] == "stitch"
        yield f"Stations of a scan were {'stitched to one image' if joined else 'kept apart'}."


def _on_labelmaps(facts: Facts, *, counts: bool) -> Iterator[str]:
    if not facts.values("label_source"):
        return
    schemes = _joined(facts.values("scheme"))
    if models := facts.values("model_name"):
        digests = _joined(f"{one[:12]}" for one in facts.values("model_digest"))
        folds = f", {counted(facts.model.n_folds, 'fold')} averaged" if facts.model else ""
        step = facts.settings.get("tile_step_size")
        tiles = f", in tiles with a step of {step:g} of their size" if step else ""
        precision = facts.settings.get("precision")
        tiles += f", computed in precision {precision}" if precision else ""
        yield (
            f"They were labelled by {_joined(models)} (SHA-256 {digests}; label scheme"
            f" {schemes}{folds}), a network of nnU-Net{tiles}."
        )
    else:
        yield f"Labelmaps were taken as delivered (label scheme {schemes})."
    if contrasts := facts.counts("contrast"):
        named = _named(contrasts) if counts else _joined(facts.values("contrast"))
        yield f"Labelled contrasts: {named}."
    if facts.config and facts.config["segment"]["combine"] == "consensus":
        yield "Labels are a consensus of contrasts, voxel by voxel by majority."


def _on_organs(facts: Facts) -> Iterator[str]:
    n_rows = sum(facts.n_by_organ_reason.values())
    if not n_rows:
        return
    others = [(str(name), n) for name, n in facts.n_by_organ_reason.items() if name is not None]
    yield (
        "A volume is given for an organ that is wholly in view and of a size that adults have:"
        f" {facts.n_by_organ_reason.get(None, 0)} of {n_rows} organs of these scans; no volume"
        f" for the others ({_named(sorted(others, key=lambda one: -one[1]))})."
    )


def _on_radiomics(facts: Facts) -> Iterator[str]:
    if wanted := facts.config.get("radiomics", {}).get("contrasts"):
        images = _joined(f"{contrast} (settings {named})" for contrast, named in wanted.items())
        engine = facts.config["radiomics"]["engine"]
        yield f"Radiomics features were computed on {images} by the {engine} engine."


def _references(facts: Facts) -> Iterator[str]:
    versions = ", ".join(facts.values("organome_version") or [__version__])
    wanted = ["organome", "snakemake"]
    if facts.values("model_name"):
        wanted.append("nnunet")
    if facts.config.get("radiomics", {}).get("contrasts"):
        wanted += ["ibsi", "pyradiomics"]
    yield from (f"- {_REFERENCES[one].format(version=versions)}" for one in wanted)
    if facts.model and facts.model.citation:
        yield f"- Model {facts.model.name}: {facts.model.citation}"


def _named(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts)


def _joined(words: Iterable[str]) -> str:
    *first, last = [*words] or ["unknown"]
    return f"{', '.join(first)} and {last}" if first else last
