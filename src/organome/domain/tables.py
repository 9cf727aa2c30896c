"""The tables that Organome writes, column by column.

Arrow schemas (``io.tables``), the data dictionary and ``docs/tables.md`` are made from here, so
that they cannot disagree. Nothing that varies between two runs on the same input stands in these
tables: no time, no host, no attempt.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.contrasts import PDFF_VIEWS, ArrayChoice, ChoiceReason, FatWater
from organome.domain.covariates import Sex
from organome.domain.geometry import Face
from organome.domain.headers import PATIENT_POSITIONS
from organome.domain.inference import FoldAverage
from organome.domain.organs import ORGANS, Organ, Region, Side, SideFinding
from organome.domain.outcomes import OrganReason, Reason, SliceReason, Status
from organome.domain.scans import Contrast
from organome.domain.ukb_protocol import MULTI_ECHO_FIELDS

SCHEMA_VERSION: Final = 2  # raised when a column is renamed, dropped or changes its meaning

_STRING, _BOOL, _INT8, _INT32, _INT64, _FLOAT = ColumnType
_SCAN_REASONS: Final = tuple(Reason)
_NA_REASONS: Final = (*OrganReason, *Reason)
_SLICE_REASONS: Final = (*SliceReason, OrganReason.NOT_FOUND, OrganReason.NOT_IN_SCHEME)
_CONTRASTS: Final = tuple(Contrast)
_ORGAN_NAMES: Final = frozenset(one.name for one in ORGANS)
_INTENSITY: Final = "HU in CT, else as delivered"
_SCAN_ORDER: Final = ("cohort", "participant", "instance", "array", "protocol", "station")


def _of_slices(view: str) -> tuple[Column, ...]:
    """Describe what a scan row says of its slices of several echoes."""
    return (
        Column(
            f"pdff_{view}_protocol",
            _STRING,
            f"Acquisition of several echoes on the {view} that goes with the scan; null: none was "
            "listed for the visit.",
            levels=tuple(one for one in MULTI_ECHO_FIELDS.values() if one.split("_")[1] == view),
        ),
        Column(f"pdff_{view}_n_slices", _INT32, "Slices that were fitted.", "slices"),
        Column(f"pdff_{view}_n_echoes", _INT32, "Echoes that were fitted.", "echoes"),
        Column(
            f"pdff_{view}_flags", _STRING, "What was odd about it and got handled, joined by ';'."
        ),
        Column(
            f"pdff_{view}_na_reason",
            _STRING,
            "Why no fat fraction was found; null where one was.",
            levels=_SCAN_REASONS,
        ),
        Column(f"pdff_{view}_fact", _STRING, "What was found, in one line; null otherwise."),
    )


def _on_slices(view: str) -> tuple[Column, ...]:
    """Describe what an organ row says of the organ on slices of several echoes."""
    where = f"on the slice planned on the {view}"
    labels = "labels of the Dixon scan of the visit, 3 mm and more inside of the organ"
    values = (
        Column(
            f"pdff_{view}_median_pct",
            _FLOAT,
            f"Median proton-density fat fraction of the organ {where}, by a magnitude fit of six "
            f"peaks and R2*; {labels}. Cannot tell more than half fat with certainty; see "
            f"pdff_{view}_flags of the scan before pooling.",
            "%",
        ),
        Column(
            f"pdff_{view}_mean_pct", _FLOAT, "Mean of the same; noise lets it stray below 0.", "%"
        ),
        Column(f"pdff_{view}_r2star_median_per_s", _FLOAT, "Median R2* of the same voxels.", "1/s"),
        Column(f"pdff_{view}_r2star_mean_per_s", _FLOAT, "Mean R2* of the same voxels.", "1/s"),
        Column(f"pdff_{view}_n_voxels", _INT32, "Voxels that these are of.", "voxels"),
        Column(
            f"pdff_{view}_fat_rich_share",
            _FLOAT,
            "Voxels of them that are clearly more than half fat.",
            "fraction, 0 to 1",
        ),
    )
    reason = f"pdff_{view}_na_reason"
    return (
        *explained(reason, *values),
        Column(
            reason,
            _STRING,
            "Why these are null in a scan that was measured; null, too, where the scan has no such "
            "slice.",
            levels=_SLICE_REASONS,
        ),
    )


def explained(reason: str, *columns: Column) -> tuple[Column, ...]:
    """Note which column says why values of these are null."""
    return tuple(replace(column, missing=reason) for column in columns)


def _regions(structures: Sequence[Organ]) -> tuple[Region, ...]:
    found = {structure.region for structure in structures}
    return tuple(region for region in Region if region in found)


_VISIT_KEY: Final = (
    Column("cohort", _STRING, "Biobank, as configured.", nullable=False),
    Column("participant", _STRING, "Pseudonym; leading zeros count.", nullable=False),
    Column("instance", _STRING, "Visit, as the biobank counts it.", nullable=False),
)
_PROTOCOL: Final = Column("protocol", _STRING, "What was acquired: dixon, ct, ...", nullable=False)
SCAN_KEY: Final = (
    *_VISIT_KEY,
    Column("array", _STRING, "Repeat within the visit, as the biobank counts it.", nullable=False),
    _PROTOCOL,
    Column(
        "station", _INT8, "Table position from the head, 1-based; null: stations are one image."
    ),
    Column("scan", _STRING, "Key of the scan: shard and place in the shard.", nullable=False),
)

# Null unless `cohort.covariates` names them.
COVARIATE_COLUMNS: Final = (
    Column(
        "sex",
        _STRING,
        "Sex, as delivered; null unless cohort.covariates asks for it.",
        levels=tuple(Sex),
    ),
    Column(
        "age_years",
        _FLOAT,
        "Age at the scan, as delivered; null unless cohort.covariates asks for it, and it is above "
        "0 and at most 120.",
        "years",
    ),
    Column(
        "acq_month",
        _STRING,
        "Year and month of the scan (2016-05); null unless cohort.covariates asks for it.",
    ),
    Column(
        "site",
        _STRING,
        "Code of the site in participants.tsv; null unless cohort.covariates asks for it.",
    ),
)

HEADER_COLUMNS: Final = (
    Column("contrasts", _STRING, "Contrasts that were prepared, joined by ';'."),
    Column("size_x", _INT32, "Voxels along the first axis of the image.", "voxels"),
    Column("size_y", _INT32, "Voxels along the second axis of the image.", "voxels"),
    Column("size_z", _INT32, "Voxels along the third axis of the image.", "voxels"),
    Column("spacing_x_mm", _FLOAT, "Voxel spacing along the first axis.", "mm"),
    Column("spacing_y_mm", _FLOAT, "Voxel spacing along the second axis.", "mm"),
    Column("spacing_z_mm", _FLOAT, "Voxel spacing along the third axis.", "mm"),
    Column(
        "orientation",
        _STRING,
        "Side of the body towards which each axis runs, DICOM convention (LPS: left, posterior, "
        "superior).",
    ),
    Column("n_stations", _INT32, "Table positions that the image is made of.", "stations"),
    Column("flags", _STRING, "What was odd and got handled on the way in, joined by ';'."),
    Column(
        "n_files_left_out",
        _INT32,
        "Files among its DICOM files that are not slices; null: not delivered as DICOM.",
        "files",
    ),
    Column(
        "intensity_scaling",
        _STRING,
        "How stored DICOM values became intensities: 'stored', as they are; 'linear', by slope and "
        "intercept; 'table', by a lookup table; several joined by ';'; null: not DICOM.",
    ),
    Column("slice_thickness_mm", _FLOAT, "Thickness of a slice, from the header.", "mm"),
    Column(
        "fat_water",
        _STRING,
        "Whether the Dixon images called fat and water show that; 'swapped': exchanged at some "
        "height of the body at least; 'sound': at every height; 'unknown': not to tell at some "
        "height (unjudged_spans_mm); null: not both there.",
        levels=tuple(FatWater),
    ),
    Column(
        "swapped_spans_mm",
        _STRING,
        "Heights between which fat and water look exchanged, from:to along the body axis of the "
        "image (z of scanner space unless it is tilted), joined by ';', to about 100 mm; null: "
        "nowhere.",
        "mm",
    ),
    Column(
        "unjudged_spans_mm",
        _STRING,
        "Heights at which the body does not tell whether fat and water are exchanged, likewise; "
        "null: nowhere.",
        "mm",
    ),
    Column(
        "corrected_spans_mm",
        _STRING,
        "Heights at which a whole station was exchanged and has been put right on request, "
        "likewise; null: nowhere. To undo it exchange fat and water there.",
        "mm",
    ),
    Column("manufacturer", _STRING, "Maker of the scanner, from the header."),
    Column("scanner_model", _STRING, "Type of the scanner, from the header."),
    Column("software_version", _STRING, "Software of the scanner, from the header of DICOM."),
    Column("field_strength_t", _FLOAT, "Magnetic field, from the header.", "T"),
    Column("repetition_time_ms", _FLOAT, "Repetition time of MRI, from the header of DICOM.", "ms"),
    Column(
        "echo_time_ms",
        _FLOAT,
        "Echo time of the first contrast of MRI, from the header of DICOM.",
        "ms",
    ),
    Column("flip_angle_deg", _FLOAT, "Flip angle of MRI, from the header of DICOM.", "degrees"),
    Column("tube_voltage_kv", _FLOAT, "Peak voltage of CT, from the header of DICOM.", "kV"),
    Column("kernel", _STRING, "Reconstruction kernel of CT, from the header of DICOM."),
    Column(
        "contrast_agent",
        _BOOL,
        "Whether the header names a contrast agent; false: it says that there was none; null: it "
        "says nothing.",
    ),
    Column(
        "receive_coil",
        _STRING,
        "Receive coil of MRI, from the header; null where other words than those for coils are in "
        "it.",
    ),
    Column(
        "patient_position",
        _STRING,
        "How the participant lay, from the header: HFS, head first and supine, and so on.",
        levels=PATIENT_POSITIONS,
    ),
    Column("height_m", _FLOAT, "Body height, from the header; null unless 0.3 to 2.6.", "m"),
    Column("weight_kg", _FLOAT, "Body weight, from the header; null unless 0.3 to 600.", "kg"),
    *(column for view in PDFF_VIEWS for column in _of_slices(view)),
    *COVARIATE_COLUMNS,
)

SCANS: Final = Table(
    name="scans",
    row="One row per listed scan, whatever became of it.",
    key=("scan",),
    columns=(
        *SCAN_KEY,
        Column(
            "status",
            _STRING,
            "'done': measured. 'failed': cannot be measured. 'not_measured': not yet, its shard is "
            "not through all steps.",
            nullable=False,
            levels=tuple(Status),
        ),
        Column("reason", _STRING, "Why it is not done; null when done.", levels=_SCAN_REASONS),
        Column("failed_step", _STRING, "Step in which it failed; null unless failed."),
        Column("fact", _STRING, "What was found, in one line; null when done."),
        *HEADER_COLUMNS,
        Column(
            "contrast",
            _STRING,
            "Contrast that was labelled and measured; of a consensus, the one that was measured.",
            levels=_CONTRASTS,
        ),
        Column(
            "contrast_choice",
            _STRING,
            "Why this contrast: 'preferred', the first that is wanted; 'preferred_missing' or "
            "'preferred_swapped', the next best; 'swapped_no_alternative', exchanged, but there "
            "was no other; 'only_image', not wanted, but the scan has no other.",
            levels=tuple(ChoiceReason),
        ),
        Column(
            "fused_stations",
            _STRING,
            "Stations of the visit, this one among them, between which owned_volume_ml was dealt "
            "out, joined by ';'; null: stations are one image, or lie askew.",
        ),
        Column(
            "consensus_contrasts",
            _STRING,
            "Contrasts whose labels were put to the vote, joined by ';'; null: no consensus.",
        ),
        Column(
            "contrasts_left_out",
            _STRING,
            "Contrasts that were wanted for the consensus and took no part, each with its reason "
            "(missing, swapped, other_grid), joined by ';'; null: no consensus, or none.",
        ),
        Column(
            "label_source", _STRING, "Where the labelmap is from.", levels=("model", "labelmaps")
        ),
        Column("scheme", _STRING, "Label scheme that the labelmap came in."),
        Column("model_name", _STRING, "Model that made the labelmap; null for labelmaps given."),
        Column("model_digest", _STRING, "Digest of that model's files."),
        Column(
            "model_folds",
            _STRING,
            "Folds of that model whose outputs were averaged, joined by ';', as in 0;1;2;3;4.",
        ),
        Column(
            "fold_average",
            _STRING,
            "How several folds were averaged: as nnU-Net does, or tile by tile where memory did "
            "not suffice for that (some voxels in 100,000 differ); null: one fold.",
            levels=tuple(FoldAverage),
        ),
        Column(
            "organome_version",
            _STRING,
            "Release that measured the scan; null unless done. That which collected the table "
            "stands in the metadata of the file.",
        ),
    ),
    sorted_by=_SCAN_ORDER,
)

ORGAN_ROWS: Final = Table(
    name="organs",
    row=f"One row per listed scan and organ: always {len(ORGANS)} rows per scan.",
    key=("scan", "label"),
    columns=(
        *SCAN_KEY,
        Column("contrast", _STRING, "Contrast that was measured.", levels=_CONTRASTS),
        Column("label", _INT8, "Label of the organ, 1 to 40.", nullable=False),
        Column(
            "organ",
            _STRING,
            "Name of the organ.",
            None,
            False,
            tuple(organ.name for organ in ORGANS),
        ),
        Column("region", _STRING, "Body region.", nullable=False, levels=_regions(ORGANS)),
        Column("side", _STRING, "Side of the body.", nullable=False, levels=tuple(Side)),
        Column("status", _STRING, "Status of the scan.", None, False, tuple(Status)),
        *explained(
            "na_reason",
            Column("n_voxels", _INT64, "Voxels of the organ; 0: looked for, not found.", "voxels"),
            Column(
                "volume_ml",
                _FLOAT,
                "Volume, only of an organ that is wholly in view and of a size that adults have. "
                "Never 0.",
                "mL",
            ),
            Column("volume_observed_ml", _FLOAT, "Volume of what is in view, whole or cut.", "mL"),
        ),
        Column("na_reason", _STRING, "Why volume_ml is null.", levels=_NA_REASONS),
        *explained(
            "na_reason",
            *(
                Column(
                    f"touches_{face}",
                    _BOOL,
                    f"The organ reaches the {face} end of what was seen: a face of the image, or "
                    "of a station that is narrower than others, padding, or the circle of a round "
                    "field of view. Stray voxels do not count.",
                )
                for face in Face
            ),
            Column(
                "truncated",
                _BOOL,
                "The organ reaches any end of what was seen, so may go on beyond. Its largest "
                "piece decides, with any other that has a twentieth of its voxels.",
            ),
            Column(
                "face_distance_mm",
                _FLOAT,
                "From the organ to the nearest end of what was seen, along the axes of the image; "
                "0 where truncated. Leave out what is close to be strict.",
                "mm",
            ),
            Column("intensity_mean", _FLOAT, "Mean of what is in view.", _INTENSITY),
            Column(
                "intensity_sd",
                _FLOAT,
                "Standard deviation over voxels (divisor n) of what is in view.",
                _INTENSITY,
            ),
            Column("intensity_median", _FLOAT, "Median of what is in view.", _INTENSITY),
            Column("intensity_p10", _FLOAT, "10th percentile, interpolated linearly.", _INTENSITY),
            Column("intensity_p90", _FLOAT, "90th percentile, interpolated linearly.", _INTENSITY),
        ),
        Column(
            "fat_fraction_mean",
            _FLOAT,
            "Mean fat over mean fat + water from the two-point Dixon images, voxels without signal "
            "left out; null where the two are not both there, or look exchanged at the heights of "
            "the organ. Not a PDFF: biased by T1, T2* and noise.",
            "fraction, 0 to 1",
        ),
        Column(
            "fat_fraction_share",
            _FLOAT,
            "Voxels with signal, of which fat_fraction_mean is, over all voxels of the organ.",
            "fraction, 0 to 1",
        ),
        Column(
            "fat_water",
            _STRING,
            "As fat_water of the scan, at the heights of the organ. 'unknown' in a scan that is "
            "swapped elsewhere has no fat fraction.",
            levels=tuple(FatWater),
        ),
        *explained(
            "na_reason",
            *(
                Column(
                    f"centroid_{axis}_mm",
                    _FLOAT,
                    f"Centroid in scanner space, {axis} grows {to}.",
                    "mm",
                )
                for axis, to in (("x", "to the left"), ("y", "backwards"), ("z", "upwards"))
            ),
            Column("n_pieces", _INT32, "Pieces, voxels connected by faces.", "pieces"),
            Column(
                "largest_piece_share",
                _FLOAT,
                "Voxels in the largest piece over all voxels of the organ.",
                "fraction, 0 to 1",
            ),
        ),
        Column(
            "owned_volume_ml",
            _FLOAT,
            "Of a station that is a scan of its own: volume up to the midline of each seam, so "
            "that the sum over the stations counts nothing twice. Null: stations are one image.",
            "mL",
        ),
        Column(
            "owned_truncated",
            _BOOL,
            "That part reaches an end of what the stations saw together. Null likewise.",
        ),
        Column(
            "crosses_seam",
            _BOOL,
            "The organ goes on in what another station owns. Null likewise.",
        ),
        Column(
            "resampled",
            _BOOL,
            "Voxels of the organ, or some, were interpolated when stations of other voxels were "
            "stitched: smoother, so that textures and intensity_sd of such organs differ.",
        ),
        Column(
            "contrast_dice",
            _FLOAT,
            "Agreement of the contrasts of a consensus on the organ: Dice similarity coefficient, "
            "mean over pairs of which at least one has the organ. Null where not measured.",
            "fraction, 0 to 1",
        ),
        Column(
            "contrast_volume_sd_ml",
            _FLOAT,
            "Spread of the organ's volume (of what is in view) over the contrasts of a consensus: "
            "standard deviation, divisor n - 1. Null where not measured.",
            "mL",
        ),
        Column(
            "fold_dice",
            _FLOAT,
            "Agreement of the folds of the model on the organ, as contrast_dice; mean over the "
            "contrasts that were labelled. Null where not measured.",
            "fraction, 0 to 1",
        ),
        Column(
            "fold_volume_sd_ml",
            _FLOAT,
            "Spread of the organ's volume over the folds of the model, as contrast_volume_sd_ml; "
            "mean over the contrasts that were labelled. Null where not measured.",
            "mL",
        ),
        Column(
            "side_suspect",
            _BOOL,
            "The organ, or part of it, lies on the wrong side of the body. Null: not checked "
            "(without a side, not in view, or nothing to tell the middle of the body by).",
        ),
        Column(
            "side_finding",
            _STRING,
            "What makes the side suspect; null: nothing.",
            levels=tuple(SideFinding),
        ),
        Column(
            "side_moved_ml",
            _FLOAT,
            "Volume that the repair of sides took from this organ and gave to its partner; null: "
            "no repair was asked for, or the organ has no side or was not in view.",
            "mL",
        ),
        *(column for view in PDFF_VIEWS for column in _on_slices(view)),
        Column("scheme", _STRING, "Label scheme that the labelmap came in."),
        Column("model_digest", _STRING, "Digest of the model; null for labelmaps given."),
    ),
    sorted_by=(*_SCAN_ORDER, "label"),
)

VISITS: Final = Table(
    name="visits",
    row="One row per participant, instance and protocol, organs side by side.",
    key=("cohort", "participant", "instance", "protocol"),
    columns=(
        *_VISIT_KEY,
        _PROTOCOL,
        Column("n_scans", _INT32, "Scans listed of the row's protocol.", "scans", nullable=False),
        Column("n_scans_done", _INT32, "Scans of these that were measured.", "scans", False),
        Column("array", _STRING, "Repeat that all values of the row are from.", nullable=False),
        Column(
            "array_choice",
            _STRING,
            "Why this repeat: 'only', there is one; 'latest', the last by its number; "
            "'latest_measured', the last that was measured, later ones were not.",
            nullable=False,
            levels=tuple(ArrayChoice),
        ),
        Column(
            "scan",
            _STRING,
            "Scan that all values are from; null where it has several stations (an organ is then "
            "the sum of what each station owns; where not all stations of a seam were measured, "
            "from the station that shows most of it).",
        ),
        Column("contrast", _STRING, "Contrast that was measured.", levels=_CONTRASTS),
        *COVARIATE_COLUMNS,
    ),
    organ_columns=(
        Column(
            "<organ>_volume_ml",
            _FLOAT,
            "Volume of <organ>, only when wholly in view and of a size that adults have; never 0.",
            "mL",
            missing="<organ>_na_reason",
        ),
        Column("<organ>_na_reason", _STRING, "Why <organ>_volume_ml is null.", levels=_NA_REASONS),
    ),
    sorted_by=("cohort", "participant", "instance", "protocol"),
)

HEADERS: Final = Table(
    name="headers",
    row="One row per listed scan of the shard: what its headers said; null where it failed.",
    key=("scan",),
    columns=(Column("scan", _STRING, "Key of the scan.", nullable=False), *HEADER_COLUMNS),
)

COHORT_TABLES: Final = (SCANS, ORGAN_ROWS, VISITS)


def with_structures(table: Table, structures: tuple[Organ, ...]) -> Table:
    """Describe a table of a run whose label scheme has structures of its own.

    Args:
        table: The table as it is for the 40 organs.
        structures: What the run measures, in order of label.
    """
    if structures == ORGANS:
        return table
    n, last = len(ORGANS), ORGANS[-1].label

    def of_run(column: Column) -> Column:
        match column.name:
            case "label":
                meaning = column.meaning.replace(f"1 to {last}", f"1 to {len(structures)}")
                return replace(column, meaning=meaning)
            case "organ":
                more = tuple(word for word in column.levels if word not in _ORGAN_NAMES)
                return replace(column, levels=(*(one.name for one in structures), *more))
            case "region":
                return replace(column, levels=_regions(structures))
            case _:
                return column

    return replace(
        table,
        row=table.row.replace(f"{n} rows", f"{len(structures)} rows"),
        columns=tuple(of_run(column) for column in table.columns),
        structures=structures,
    )
