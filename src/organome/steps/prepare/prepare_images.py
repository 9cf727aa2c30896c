"""prepare_images: archives, DICOM and image files -> checked images, and what their headers say."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import SimpleITK as sitk

from organome.compute.dixon.fat_fraction import are_magnitudes
from organome.compute.dixon.swaps import (
    Slab,
    is_whole_swap,
    judge_slabs,
    overall_fat_water,
    spans_mm,
)
from organome.compute.geometry.grids import orientation_code, share_grid
from organome.compute.stitching.seams import Seam
from organome.compute.stitching.stitch import TRIM_SLICES, stitch
from organome.domain.contrast_choice import choose_contrasts
from organome.domain.contrasts import Combine, FatWater
from organome.domain.covariates import UNKNOWN, Covariate, Covariates
from organome.domain.errors import ScanError, SetupError
from organome.domain.flags import Flag
from organome.domain.geometry import direction_of
from organome.domain.headers import Header
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.rows import header_values
from organome.domain.scans import CohortKind, Contrast, MissingRescale, Scan, Stations
from organome.domain.tables import HEADERS
from organome.io.files.cohort_roots import ANYWHERE, CohortRoot
from organome.io.files.identity import MISSING, input_identity, is_out_of_reach
from organome.io.images.image_files import write_image
from organome.io.images.sidecars import Sidecar, sidecar_path
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.participants import ParticipantTables
from organome.io.tables.scan_lists import read_shard
from organome.shards.run import run_shard
from organome.steps.prepare.deliveries import Deliveries
from organome.steps.prepare.slices import write_slices

HEADERS_FILE: Final = "headers.parquet"
FAT, WATER = Contrast.FAT, Contrast.WATER
MM_DECIMALS: Final = 3
RATIO_DECIMALS: Final = 5
_OF_HEADERS: Final = (
    *("manufacturer", "scanner_model", "field_strength_t"),
    *("height_m", "weight_kg", "slice_thickness_mm", "software_version", "repetition_time_ms"),
    *("echo_time_ms", "flip_angle_deg", "tube_voltage_kv", "kernel"),
    *("contrast_agent", "receive_coil", "patient_position"),
)


def run(
    *,
    shard: Path,
    output: Path,
    work: Path,
    kind: CohortKind,
    root: Path | None = None,
    stations: Stations = Stations.STITCH,
    contrasts: Sequence[Contrast] = tuple(Contrast),
    missing_rescale: MissingRescale = MissingRescale.REFUSE,
    correct_swaps: bool = False,
    orientation: str = "",
    covariates: Sequence[Covariate] = (),
    labelled: Sequence[Contrast] = (),
    combine: Combine = Combine.FIRST,
    measured: Sequence[Contrast] = (),
    n_processes: int = 1,
    max_same_reason_share: float = 0.5,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Prepare all scans of a shard.

    Args:
        shard: List of the shard's scans.
        output: Folder to publish: the ledger, ``headers.parquet``, ``<scan>_<contrast>.nii.gz``.
        work: Folder for what is under way.
        kind: How the cohort is laid out.
        root: Where the cohort lies, as it was listed. When it is gone or empty, its mount is lost
            and the job stops; without it, files on a lost mount count as missing.
        stations: As the scans were listed: ``stitch`` makes one image of all stations of a scan.
        contrasts: Contrasts to prepare, of those that a scan has. Fat and water, of which every
            scan has its fat fraction, must be whole where they are among them; what is wrong with
            another contrast costs that contrast only.
        missing_rescale: What becomes of a DICOM CT without slope and intercept: ``refuse``, or
            ``hounsfield`` where its stored values are known to be Hounsfield units.
        correct_swaps: Whether fat and water of a station that is exchanged as a whole change names.
        orientation: Sides of the body towards which the axes of image files run that do not say it
            themselves, such as ``RAS``; empty: such files are refused.
        covariates: What of sex, age, month of the scan and site is read, for ``bids`` and ``nako``
            from the tables below ``root``, too; nothing unless it is named.
        labelled: Contrasts that segment_organs prefers, best first. Where they are named, images
            are written only if a later step reads them: those that it will label, those of
            ``measured``, fat and water. Nothing else depends on it. None: all are written.
        combine: Whether segment_organs labels one image or all of them.
        measured: Contrasts whose radiomics are measured.
        n_processes: Scans that are done at the same time.
        max_same_reason_share: Above this share of scans failing for one reason, the job stops.
        on_outcome: Called after each scan.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: If the scans were listed with another setting of ``stations``, or
            ``orientation`` is none.
        MachineFault: If the cohort is not there, or the machine is at fault in another way.
    """
    scans = read_shard(shard)
    _check_stations(scans, stations)
    cohort_root = CohortRoot(root)
    cohort_root.check()
    if orientation:
        direction_of(orientation)
    step = PrepareImages(
        kind=kind,
        stations=stations,
        contrasts=contrasts,
        root=cohort_root,
        missing_rescale=missing_rescale,
        correct_swaps=correct_swaps,
        orientation=orientation,
        covariates=covariates,
        tables=_tables(scans, kind, root) if covariates else None,
        readers=Readers(tuple(labelled), combine, frozenset(measured)),
    )
    return run_shard(
        step,
        scans=scans,
        upstream=None,
        output=output,
        work=work,
        workers=[step] * n_processes,
        max_same_reason_share=max_same_reason_share,
        on_outcome=on_outcome,
    )


@dataclass(frozen=True, slots=True)
class Readers:
    """Which images later steps read.

    Attributes:
        labelled: Contrasts that are labelled, best first; none: all images are wanted.
        combine: Whether one of them is labelled or all.
        measured: Contrasts that are measured whatever is labelled, beside fat and water.
    """

    labelled: tuple[Contrast, ...] = ()
    combine: Combine = Combine.FIRST
    measured: frozenset[Contrast] = frozenset()

    def wanted(self, available: Collection[Contrast], *, is_swapped: bool) -> set[Contrast]:
        """Return the contrasts that are read of a scan; all if none is.

        Args:
            available: Contrasts that it has.
            is_swapped: Whether fat and water look exchanged.
        """
        available = set(available)
        if not self.labelled:
            return available
        wanted = available & {FAT, WATER, *self.measured}
        # A label scheme may be for one modality only.
        for group in (available & {Contrast.CT}, available - {Contrast.CT}):
            with suppress(ScanError):  # segment_organs will say so
                choice = choose_contrasts(
                    sorted(group),
                    [one for one in self.labelled if one in group],
                    combine=self.combine,
                    is_swapped=is_swapped,
                )
                wanted |= set(choice.contrasts)
        return wanted or available


ALL_IMAGES: Final = Readers()


class PrepareImages:
    """Preparing, a scan at a time.

    Images that are in one piece keep voxels, type and grid as delivered, but for padding. Stitched
    ones are float32 on the grid that ``stitch`` chooses.
    """

    name = "prepare_images"
    version = 14

    def __init__(
        self,
        *,
        kind: CohortKind,
        stations: Stations,
        contrasts: Sequence[Contrast],
        correct_swaps: bool = False,
        root: CohortRoot = ANYWHERE,
        missing_rescale: MissingRescale = MissingRescale.REFUSE,
        orientation: str = "",
        covariates: Sequence[Covariate] = (),
        tables: ParticipantTables | None = None,
        readers: Readers = ALL_IMAGES,
    ) -> None:
        self._readers = readers
        self._covariates = frozenset(covariates)
        self._tables = tables
        self._missing_rescale = missing_rescale
        self._root = root
        self._kind = kind
        self._stations = stations
        self._correct_swaps = correct_swaps
        self._contrasts = tuple(one for one in Contrast if one in set(contrasts))
        self._orientation = orientation
        self._deliveries = Deliveries(kind, self._contrasts, missing_rescale, orientation)

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""
        return {
            "kind": self._kind,
            "stations": self._stations.value,
            "contrasts": [one.value for one in self._contrasts],
            "missing_rescale": self._missing_rescale.value,
            "trim_slices": TRIM_SLICES,
            "correct_swaps": self._correct_swaps,
            **({"orientation": self._orientation} if self._orientation else {}),
            **({"covariates": sorted(self._covariates)} if self._covariates else {}),
        }

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:  # noqa: ARG002
        """The files as delivered, wherever they lie, and what the list says they show.

        Raises:
            MachineFault: Files are missing because the whole cohort is: not a change of the input.
        """
        identities = [input_identity(Path(one.path)) for one in scan.sources]
        if any(map(is_out_of_reach, identities)):
            self._root.check()
        named = zip(scan.sources, identities, strict=True)
        listed = [[one.contrast, one.station, identity] for one, identity in named]
        beside = [input_identity(sidecar_path(Path(one.path))) for one in scan.sources]
        sidecars = [beside] if any(one != MISSING for one in beside) else []
        tables = [] if self._tables is None else [self._covariate_facts(scan, UNKNOWN)]
        return [scan.station, listed, *scan.flags, *sidecars, *tables]

    def run_scan(
        self,
        scan: Scan,
        upstream: Outcome | None,  # noqa: ARG002 the first step
        place: Callable[[str], Path],
    ) -> Mapping[str, JsonValue]:
        """Prepare one scan.

        Raises:
            ScanError: If it cannot be prepared.
            MachineFault: If it cannot be read because the whole cohort is gone.
        """
        try:
            delivery = self._deliveries.read(scan)
        except (ScanError, OSError):
            self._root.check()
            raise
        if delivery.flags & {Flag.CONTRAST_LEFT_OUT, Flag.STATIONS_MISSING}:
            self._root.check()  # a lost mount, and not the scan, may lack them
        flags = set(delivery.flags) | set(scan.flags)
        stations, slabs, corrected = _judge_stations(delivery.stations, self._correct_swaps)
        facts = _swap_facts(slabs, corrected)
        is_swapped = facts.get("fat_water") == FatWater.SWAPPED
        contrasts = [one.value for one in stations[0]]
        wanted = self._readers.wanted(stations[0], is_swapped=is_swapped)
        if corrected:
            flags.add(Flag.SWAP_CORRECTED)
        if not all(map(_are_magnitudes, stations)):
            flags.add(Flag.FAT_WATER_IMPLAUSIBLE)
        if overall_fat_water(slabs) is FatWater.SWAPPED:
            flags.add(Flag.FAT_WATER_SWAPPED)
        if len(stations) == 1:
            (images,) = stations
            _check_grids(images)
            seen = {contrast.value: delivery.seen(image) for contrast, image in images.items()}
            facts["seen_xyz"] = {name: one.boxes_xyz for name, one in seen.items() if one.boxes_xyz}
            facts["round_xyz"] = {
                name: one.round_xyz for name, one in seen.items() if one.round_xyz
            }
        else:
            stitched = stitch(stations, wanted=wanted)
            images = stitched.images
            flags |= _seam_flags(stitched.seams)
            facts |= _seam_facts(stitched.seams)
            facts["station_spans_mm"] = [
                [round(end_mm, MM_DECIMALS) for end_mm in span] for span in stitched.spans_mm
            ]
            facts["resampled_spans_mm"] = [
                [round(end_mm, MM_DECIMALS) for end_mm in span]
                for span in stitched.resampled_spans_mm
            ]
            seen_xyz = [[list(ends) for ends in box] for box in stitched.seen_xyz]
            facts["seen_xyz"] = dict.fromkeys(contrasts, seen_xyz)
        for contrast, image in images.items():
            if contrast in wanted:
                write_image(place(f"{contrast}.nii.gz"), image)
        if self._kind == "ukb":
            frame_uid = getattr(delivery.header, "frame_of_reference_uid", "")
            facts |= write_slices(
                scan, frame_uid=frame_uid, place=place, check_root=self._root.check
            )
        return {
            "contrasts": contrasts,
            **_grid_facts(next(iter(images.values()))),
            "n_stations": len(stations),
            **facts,
            "flags": sorted(flags),
            "n_files_left_out": delivery.n_files_left_out,
            "intensity_scaling": sorted(delivery.scalings),
            **_header_facts(delivery.header),
            **self._covariate_facts(
                scan, delivery.header.covariates if delivery.header else UNKNOWN
            ),
        }

    def _covariate_facts(self, scan: Scan, of_header: Covariates) -> dict[str, JsonValue]:
        """Return what is asked for: as tables of the cohort have it, else as the header has it."""
        listed = UNKNOWN if self._tables is None else self._tables.of(scan)
        return {**listed.or_else(of_header).asked_for(self._covariates)}

    def has_left(self, outcome: Outcome, names: Collection[str]) -> bool:
        """Return whether an earlier attempt wrote all images that are read now."""
        wanted = self._readers.wanted(
            [Contrast(name) for name in outcome.facts["contrasts"]],
            is_swapped=outcome.facts.get("fat_water") == FatWater.SWAPPED,
        )
        return all(f"{outcome.scan}_{contrast}.nii.gz" in names for contrast in wanted)

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write ``headers.parquet``: one row per scan, null where it failed."""
        rows = [{"scan": one.scan, **header_values(one.facts)} for one in outcomes]
        write_table(folder / HEADERS_FILE, rows_to_arrow(HEADERS, rows))


def _tables(scans: Sequence[Scan], kind: CohortKind, root: Path | None) -> ParticipantTables | None:
    if root is None or kind not in ("bids", "nako"):
        return None
    return ParticipantTables(root, {scan.participant for scan in scans})


def _check_stations(scans: Sequence[Scan], stations: Stations) -> None:
    """Refuse to stitch what was listed station by station, and the other way round."""
    for scan in scans:
        several = len({source.station for source in scan.sources}) > 1
        if (scan.station is not None and stations is Stations.STITCH) or (
            several and stations is Stations.SEPARATE
        ):
            raise SetupError(
                f"{scan.scan}: not listed with `stations: {stations}`; list the cohort again"
            )


def _check_grids(images: Mapping[Contrast, sitk.Image]) -> None:
    (first, image), *others = images.items()
    for contrast, other in others:
        if not share_grid(image, other):
            raise ScanError(Reason.GRIDS_DIFFER, f"{first} and {contrast} are on different grids")


def _judge_stations(
    stations: Sequence[Mapping[Contrast, sitk.Image]], correct_swaps: bool
) -> tuple[list[Mapping[Contrast, sitk.Image]], list[Slab], list[Slab]]:
    """Judge fat and water of each station before it fades into its neighbours.

    Returns:
        The stations, those exchanged back that are exchanged as a whole if this is asked for; what
        is found in them; what was found in those that were exchanged back.
    """
    judged: list[Mapping[Contrast, sitk.Image]] = []
    slabs: list[Slab] = []
    corrected: list[Slab] = []
    for images in stations:
        found = _judge(images)
        if correct_swaps and is_whole_swap(found):
            back = {**images, FAT: images[WATER], WATER: images[FAT]}
            found_back = _judge(back)
            if overall_fat_water(found_back) is FatWater.SOUND:
                corrected += found
                images, found = back, found_back
        judged.append(images)
        slabs += found
    return judged, slabs, corrected


def _are_magnitudes(images: Mapping[Contrast, sitk.Image]) -> bool:
    return not {FAT, WATER} <= set(images) or are_magnitudes(images[FAT], images[WATER])


def _judge(images: Mapping[Contrast, sitk.Image]) -> tuple[Slab, ...]:
    fat, water = images.get(FAT), images.get(WATER)
    if fat is None or water is None or not share_grid(fat, water):
        return ()
    return judge_slabs(fat, water)


def _swap_facts(slabs: Sequence[Slab], corrected: Sequence[Slab]) -> dict[str, JsonValue]:
    if not slabs:
        return {}
    swapped, unjudged, exchanged_back = (
        [[round(end_mm, MM_DECIMALS) for end_mm in span] for span in spans]
        for spans in (
            spans_mm(slabs, FatWater.SWAPPED),
            spans_mm(slabs, FatWater.UNKNOWN),
            spans_mm(corrected, FatWater.SWAPPED),
        )
    )
    return {
        "fat_water": overall_fat_water(slabs).value,
        "swapped_spans_mm": swapped,
        "unjudged_spans_mm": unjudged,
        "corrected_spans_mm": exchanged_back,
    }


def _grid_facts(image: sitk.Image) -> dict[str, JsonValue]:
    return {
        "size_xyz": list(image.GetSize()),
        "spacing_xyz_mm": list(image.GetSpacing()),
        "orientation": orientation_code(image),
    }


def _seam_flags(seams: Sequence[Seam]) -> set[Flag]:
    flags = set()
    if any(seam.residual is None for seam in seams):
        flags.add(Flag.SEAM_GAIN_UNKNOWN)
    if any(seam.limited for seam in seams):
        flags.add(Flag.SEAM_GAIN_LIMITED)
    return flags


def _seam_facts(seams: Sequence[Seam]) -> dict[str, JsonValue]:
    return {
        "seam_overlaps_mm": [round(seam.overlap_mm, MM_DECIMALS) for seam in seams],
        "seam_gains": [round(seam.gain, RATIO_DECIMALS) for seam in seams],
        "seam_residuals": [
            None if seam.residual is None else round(seam.residual, RATIO_DECIMALS)
            for seam in seams
        ],
    }


def _header_facts(header: Header | Sidecar | None) -> dict[str, JsonValue]:
    return {} if header is None else {name: getattr(header, name, None) for name in _OF_HEADERS}
