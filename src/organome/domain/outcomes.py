"""What became of a scan in one step, and why a number is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)


class Status(StrEnum):
    """Whether a step brought a scan through."""

    DONE = "done"
    FAILED = "failed"
    NOT_MEASURED = "not_measured"  # in tables only: a step has not been through its shard


class Reason(StrEnum):
    """Why a scan failed. Values stand in published tables: never rename one once released."""

    # the file as delivered
    FILE_MISSING = "file_missing"
    CONTENT_NOT_FETCHED = "content_not_fetched"
    ARCHIVE_BROKEN = "archive_broken"
    ARCHIVE_EMPTY = "archive_empty"
    FILE_BROKEN = "file_broken"
    FILE_UNREADABLE = "file_unreadable"
    FORMAT_UNKNOWN = "format_unknown"
    # the series within it
    CONTRAST_MISSING = "contrast_missing"
    CONTRAST_DISPUTED = "contrast_disputed"
    STATION_MISSING = "station_missing"
    SLICES_MISSING = "slices_missing"
    GRIDS_DIFFER = "grids_differ"
    ECHOES_UNSUITABLE = "echoes_unsuitable"
    STATIONS_APART = "stations_apart"
    SEVERAL_SERIES = "several_series"
    CONTENT_REPEATED = "content_repeated"
    # the voxels
    RESCALE_MISSING = "rescale_missing"
    NOT_3D = "not_3d"
    NOT_FINITE = "not_finite"
    CONSTANT_IMAGE = "constant_image"
    GEOMETRY_IMPLAUSIBLE = "geometry_implausible"
    GEOMETRY_MISSING = "geometry_missing"
    ORIENTATION_UNKNOWN = "orientation_unknown"
    SPACING_DISPUTED = "spacing_disputed"
    # the labelmap
    LABELMAP_MISSING = "labelmap_missing"
    LABELMAP_OFF_GRID = "labelmap_off_grid"
    LABEL_UNKNOWN = "label_unknown"
    # the way through the step
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_DIED = "worker_died"
    UNEXPECTED_ERROR = "unexpected_error"
    # the shard, in tables only
    NOT_PREPARED = "not_prepared"
    NOT_SEGMENTED = "not_segmented"
    NOT_MEASURED = "not_measured"
    SHARD_UNREADABLE = "shard_unreadable"
    SHARD_DIFFERS = "shard_differs"


# Reasons that an attempt with more memory, another machine or better code may not meet.
RETRIED: Final = frozenset({Reason.OUT_OF_MEMORY, Reason.WORKER_DIED, Reason.UNEXPECTED_ERROR})


class OrganReason(StrEnum):
    """Why an organ of a scan that went through has no volume."""

    NOT_FOUND = "not_found"
    OUTSIDE_VIEW = "outside_view"
    REMOVED_OR_MISSED = "removed_or_missed"
    TRUNCATED = "truncated"
    IMPLAUSIBLY_SMALL = "implausibly_small"
    IMPLAUSIBLY_LARGE = "implausibly_large"
    NOT_IN_SCHEME = "not_in_scheme"


class SliceReason(StrEnum):
    """Why an organ has no fat fraction on slices of several echoes."""

    NO_MAP = "no_map"
    OUTSIDE_LABELMAP = "outside_labelmap"
    NOT_ON_SLICE = "not_on_slice"
    TOO_FEW_VOXELS = "too_few_voxels"
    MOSTLY_FAT = "mostly_fat"


class FeatureReason(StrEnum):
    """Why an organ that was found lacks radiomics features, some or all."""

    SINGLE_VOXEL = "single_voxel"
    TOO_FEW_DIMENSIONS = "too_few_dimensions"
    TOO_SMALL = "too_small"
    TOO_MANY_LEVELS = "too_many_levels"
    ONE_GREY_LEVEL = "one_grey_level"
    RESAMPLED_AWAY = "resampled_away"
    RESEGMENTED_AWAY = "resegmented_away"
    UNDEFINED = "undefined"
    FAT_WATER_SWAPPED = "fat_water_swapped"
    NO_SIGNAL = "no_signal"
    IMAGE_TOO_SMALL = "image_too_small"
    NOT_IN_SETTINGS = "not_in_settings"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one scan in one step.

    Attributes:
        scan: Key of the scan, ``SSSS-NNNN``.
        step: The step that decided it; for a failure, the first step that failed.
        status: Done or failed.
        fingerprint: Digest of all that the outcome depends on.
        reason: Why it failed, None when done.
        fact: What was found, in one line, None when done.
        facts: Results that go into tables: reproducible, JSON-able, no time, no host.
    """

    scan: str
    step: str
    status: Status
    fingerprint: str
    reason: Reason | None = None
    fact: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an outcome came about; nothing of it stands in a table but the names of the files.

    Attributes:
        files: Sizes in bytes of the files that the scan left in the step's folder, by sorted name.
        attempt: Name of the run of the step that decided the outcome.
        host: Machine on which it ran.
        elapsed_s: Wall time spent on the scan in seconds.
        finished_at: When it was decided, ISO 8601 in UTC.
        lean: Whether the scan was done with nothing beside it and with the settings that need the
            least memory, because memory was short or a process had died.
    """

    files: Mapping[str, int] = field(default_factory=dict)
    attempt: str = ""
    host: str = ""
    elapsed_s: float = 0.0
    finished_at: str = ""
    lean: bool = False
