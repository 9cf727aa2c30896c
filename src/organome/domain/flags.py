"""What was odd about a scan that went through all the same."""

from enum import StrEnum


class Flag(StrEnum):
    """An oddity that was handled. Values stand in published tables: never rename one."""

    # the delivery
    MANIFEST_DIFFERS = "manifest_differs"
    DELIVERED_TWICE = "delivered_twice"
    CONTRAST_LEFT_OUT = "contrast_left_out"
    STATIONS_MISSING = "stations_missing"
    EXTRA_SERIES = "extra_series"
    DUPLICATE_STATION = "duplicate_station"
    DUPLICATE_SLICES = "duplicate_slices"
    INSTANCES_SHUFFLED = "instances_shuffled"
    CONTRAST_FROM_IMAGE_TYPE = "contrast_from_image_type"
    SLICES_CROPPED = "slices_cropped"
    # its DICOM files
    FILES_LEFT_OUT = "files_left_out"
    FILES_REPEATED = "files_repeated"
    FILE_META_MISSING = "file_meta_missing"
    HEADER_ODD = "header_odd"
    VOLUMES_LEFT_OUT = "volumes_left_out"
    ACQUISITIONS_MIXED = "acquisitions_mixed"
    GAPS_BETWEEN_SLICES = "gaps_between_slices"
    SLICES_UNEVEN = "slices_uneven"
    PADDING_REPLACED = "padding_replaced"
    PADDING_DOUBTFUL = "padding_doubtful"
    HOUNSFIELD_STATED = "hounsfield_stated"
    PRIVATE_SCALING = "private_scaling"
    FRAME_DIFFERS = "frame_differs"
    # slices of several echoes
    ECHOES_MISSING = "echoes_missing"
    PDFF_T1_WEIGHTED = "pdff_t1_weighted"
    # the stitching
    SEAM_GAIN_UNKNOWN = "seam_gain_unknown"
    SEAM_GAIN_LIMITED = "seam_gain_limited"
    # the images
    ORIENTATION_STATED = "orientation_stated"
    AFFINE_IDENTITY = "affine_identity"
    QFORM_DIFFERS = "qform_differs"
    TRANSFORM_LEFT_OUT = "transform_left_out"
    UNITS_CONVERTED = "units_converted"
    CT_NOT_IN_HU = "ct_not_in_hu"
    FAT_WATER_IMPLAUSIBLE = "fat_water_implausible"
    FAT_WATER_SWAPPED = "fat_water_swapped"
    SWAP_CORRECTED = "swap_corrected"
    # the labels
    LABELS_ROUNDED = "labels_rounded"
    LABELMAP_TURNED = "labelmap_turned"
    MIRRORED = "mirrored"
    UPSIDE_DOWN = "upside_down"
    PHANTOM_MODEL = "phantom_model"
