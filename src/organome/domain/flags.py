"""What was odd about a scan that went through all the same."""

from enum import StrEnum


class Flag(StrEnum):
    """An oddity that was handled. Values stand in published tables: never rename one."""

    # the delivery
    MANIFEST_DIFFERS = "manifest_differs"
    DELIVERED_TWICE = "delivered_twice"
    STATIONS_MISSING = "stations_missing"
    EXTRA_SERIES = "extra_series"
    DUPLICATE_STATION = "duplicate_station"
    DUPLICATE_SLICES = "duplicate_slices"
    INSTANCES_SHUFFLED = "instances_shuffled"
    CONTRAST_FROM_IMAGE_TYPE = "contrast_from_image_type"
    SLICES_CROPPED = "slices_cropped"
    # the stitching
    SEAM_GAIN_UNKNOWN = "seam_gain_unknown"
    SEAM_GAIN_LIMITED = "seam_gain_limited"
    # the images
    FAT_WATER_SWAPPED = "fat_water_swapped"
    # the labels
    PHANTOM_MODEL = "phantom_model"
