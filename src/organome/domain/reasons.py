"""What each reason and flag means, in a sentence for the reader of a table."""

from typing import Final

from organome.domain.flags import Flag
from organome.domain.outcomes import FeatureReason, OrganReason, Reason, SliceReason

REASON_MEANINGS: Final[dict[Reason, str]] = {
    Reason.FILE_MISSING: "The file or folder is not where the list says.",
    Reason.CONTENT_NOT_FETCHED: (
        "git-annex or Git LFS left a link or a pointer; fetch the content (`git annex get`)."
    ),
    Reason.ARCHIVE_BROKEN: (
        "The archive is cut short or damaged (its own checksums do not hold), cannot be opened, or "
        "holds far more than images would."
    ),
    Reason.ARCHIVE_EMPTY: "The archive holds no image.",
    Reason.FILE_BROKEN: "The image file is cut short, damaged, or cannot be read.",
    Reason.FILE_UNREADABLE: "The user that ran the job may not read the file.",
    Reason.FORMAT_UNKNOWN: "The file is of a kind that is not read.",
    Reason.CONTRAST_MISSING: "None of the wanted contrasts is there, or one that must be is not.",
    Reason.CONTRAST_DISPUTED: (
        "The header is of another kind of scanner than the contrast that the list gives, or "
        "header and list, or description and image type in it, name two contrasts."
    ),
    Reason.STATION_MISSING: (
        "A station between two others is not there, or the one that is wanted."
    ),
    Reason.SLICES_MISSING: "A series has a gap, or ends too early.",
    Reason.GRIDS_DIFFER: "Images that belong together do not lie on one grid.",
    Reason.ECHOES_UNSUITABLE: (
        "Fewer than three echoes, or echo times (or none stated) that do not tell fat from water."
    ),
    Reason.STATIONS_APART: "Neighbouring stations leave a gap between them.",
    Reason.SEVERAL_SERIES: "There is more than one candidate, and nothing to choose by.",
    Reason.CONTENT_REPEATED: (
        "Two contrasts, or two stations, are voxel for voxel the same: one image was delivered "
        "under two names."
    ),
    Reason.RESCALE_MISSING: (
        "A CT whose header does not say how stored values become Hounsfield units."
    ),
    Reason.NOT_3D: "It is not one three-dimensional image of scalars.",
    Reason.NOT_FINITE: "Voxels are NaN or infinite.",
    Reason.CONSTANT_IMAGE: "All voxels have the same value.",
    Reason.GEOMETRY_IMPLAUSIBLE: "Size, spacing or axes cannot be those of a body scan.",
    Reason.GEOMETRY_MISSING: (
        "No DICOM slice says where it lies or how large its pixels are (ImagePositionPatient, "
        "ImageOrientationPatient, PixelSpacing; ImagerPixelSpacing is of the detector), or a "
        "NRRD or MetaImage has no spacing."
    ),
    Reason.ORIENTATION_UNKNOWN: (
        "The file does not say how its axes lie in the body (the setting `orientation` may), or "
        "says it twice, differently; left and right would be a guess."
    ),
    Reason.SPACING_DISPUTED: (
        "A NIfTI states two spacings, by its sform and by pixdim, more than 1 % apart."
    ),
    Reason.LABELMAP_MISSING: "No labelmap is listed for the scan, or it is not there.",
    Reason.LABELMAP_OFF_GRID: "The labelmap does not lie on the grid of the image.",
    Reason.LABEL_UNKNOWN: "The labelmap holds a value that its label scheme does not know.",
    Reason.OUT_OF_MEMORY: "The scan does not fit into memory.",
    Reason.WORKER_DIED: "The process that did the scan crashed or hung, with no other beside it.",
    Reason.UNEXPECTED_ERROR: (
        "An error that nobody foresaw, usually of an odd file; the log has it under the scan's key."
    ),
    Reason.NOT_PREPARED: "prepare_images has not been through the shard of the scan.",
    Reason.NOT_SEGMENTED: "segment_organs has not been through the shard of the scan.",
    Reason.NOT_MEASURED: "measure_volumes (measure_radiomics) has not been through the shard.",
    Reason.SHARD_UNREADABLE: "A published file of the shard is missing or damaged.",
    Reason.SHARD_DIFFERS: (
        "The shard was labelled by another model, or measured with another label scheme or other"
        " radiomics settings, than most; or its radiomics are of other labelmaps than its volumes."
    ),
}

ORGAN_REASON_MEANINGS: Final[dict[OrganReason, str]] = {
    OrganReason.NOT_FOUND: (
        "The scan was measured and no voxel is the organ; what is in view does not say why. "
        "Rows of radiomics never say more."
    ),
    OrganReason.OUTSIDE_VIEW: (
        "No voxel is the organ, and the scan ends before it: an organ that lies nearer to the "
        "middle is cut."
    ),
    OrganReason.REMOVED_OR_MISSED: (
        "No voxel is the organ, though the scan goes on above and below it, to where other organs "
        "end: it was removed, or missed. Look at it."
    ),
    OrganReason.TRUNCATED: (
        "The organ reaches a face of the image or an end of what was seen in it (by its stations, "
        "beside padding, in a round field of view); `volume_observed_ml` is what is in view."
    ),
    OrganReason.IMPLAUSIBLY_SMALL: (
        "What was labelled is wholly in view and far smaller than the organ of any adult: a speck, "
        "or an organ mostly missed; `volume_observed_ml` is what it is. A child may be "
        "sound: the bounds are those of adults where no `age_years` is asked for."
    ),
    OrganReason.IMPLAUSIBLY_LARGE: (
        "What was labelled is far larger than the organ of nearly any adult: labels that spread, "
        "or a rare disease; `volume_observed_ml` is what it is. Look at it."
    ),
    OrganReason.NOT_IN_SCHEME: "The tool that made the labelmap has no class for the organ.",
}

SLICE_REASON_MEANINGS: Final[dict[SliceReason, str]] = {
    SliceReason.NO_MAP: (
        "The slice was delivered and no fat fraction could be found; the scan's "
        "`pdff_<view>_na_reason` says why."
    ),
    SliceReason.OUTSIDE_LABELMAP: "The slice lies outside of the Dixon image.",
    SliceReason.NOT_ON_SLICE: "The organ is in the Dixon image, but not on the slice.",
    SliceReason.TOO_FEW_VOXELS: (
        "Fewer than 20 voxels of the organ are left away from its edge and described by the model."
    ),
    SliceReason.MOSTLY_FAT: (
        "Over all its voxels a fat fraction above 50 % fits better, which magnitudes cannot "
        "measure with certainty: a label in fat, or an organ replaced by fat."
    ),
}

FEATURE_REASON_MEANINGS: Final[dict[FeatureReason, str]] = {
    FeatureReason.SINGLE_VOXEL: "The organ is one voxel.",
    FeatureReason.TOO_FEW_DIMENSIONS: "The organ is a line, or a plane where more is asked for.",
    FeatureReason.TOO_SMALL: "The organ has fewer voxels than the settings ask for.",
    FeatureReason.TOO_MANY_LEVELS: (
        "More than 1,000 grey levels: only shape is there, and what is of intensities without "
        "levels. Where a few hot voxels did it (`intensity_p999` far below `intensity_max`), "
        "`organome: {clipPercentiles: [0, 99.9]}` keeps them from the levels; else choose another "
        "bin width."
    ),
    FeatureReason.ONE_GREY_LEVEL: (
        "All voxels have one grey level, so textures would say nothing: choose a smaller bin width."
    ),
    FeatureReason.RESAMPLED_AWAY: "Nothing is left of the organ on the new grid.",
    FeatureReason.RESEGMENTED_AWAY: "Nothing is left of it in the range of intensities.",
    FeatureReason.FAT_WATER_SWAPPED: (
        "Fat and water look exchanged at the heights of the organ, or may be: of fat, water and "
        "fat fraction only the shape is there."
    ),
    FeatureReason.UNDEFINED: "Some features have no value for this region; only those are null.",
    FeatureReason.NO_SIGNAL: "No voxel of the organ has signal, so there is no fat fraction.",
    FeatureReason.IMAGE_TOO_SMALL: "The image is too small for the filter.",
    FeatureReason.NOT_IN_SETTINGS: "The settings ask for it of another image only.",
}

FLAG_MEANINGS: Final[dict[Flag, str]] = {
    Flag.MANIFEST_DIFFERS: "The manifest of the archive names other files than are in it.",
    Flag.DELIVERED_TWICE: "The same file was there twice, under two names or in two folders.",
    Flag.CONTRAST_LEFT_OUT: (
        "A contrast that the scan can do without was not whole (a station or slices lack, another "
        "grid) and was left out; `contrasts` has those that were prepared."
    ),
    Flag.STATIONS_MISSING: (
        "A station at an end of the body is not there, damaged or not usable; the others count "
        "(`n_stations`), and organs that go on beyond them are truncated."
    ),
    Flag.EXTRA_SERIES: "Series that are not needed were passed over.",
    Flag.DUPLICATE_STATION: "A station was there more than once; the most recent whole one counts.",
    Flag.DUPLICATE_SLICES: "A slice was there more than once; the last instance counts.",
    Flag.INSTANCES_SHUFFLED: "Instance numbers did not follow the positions; positions count.",
    Flag.CONTRAST_FROM_IMAGE_TYPE: "The description did not tell the contrast, the image type did.",
    Flag.SLICES_CROPPED: "Contrasts ended a slice apart and were cropped to what all have.",
    Flag.FILES_LEFT_OUT: (
        "Among the slices lay files that are none (reports, dose objects, empty files, pictures); "
        "`n_files_left_out` counts them."
    ),
    Flag.FILES_REPEATED: "A slice was delivered again under another name; each counts once.",
    Flag.FILE_META_MISSING: "DICOM files lack their first part; the encoding was found out.",
    Flag.HEADER_ODD: (
        "An optional element of a header breaks the standard, or is not a plausible number; it was "
        "read with a comma for a point where that helps, else it is null."
    ),
    Flag.VOLUMES_LEFT_OUT: (
        "A series also held parts of other acquisitions, echoes or phases; its one whole volume "
        "counts. What was left out beyond its ends is one slice, or a tenth of its slices, at most."
    ),
    Flag.ACQUISITIONS_MIXED: (
        "The slices of one stack differ in acquisition, echo, image type or the like."
    ),
    Flag.GAPS_BETWEEN_SLICES: (
        "Slices lie apart by 1.5 times their thickness or more: compare `spacing_z_mm` and "
        "`slice_thickness_mm`. Volumes are of a body seen in part."
    ),
    Flag.SLICES_UNEVEN: (
        "Steps between slices differ a little; no slice lies more than a quarter of a step, or "
        "1 mm, from where even steps put it."
    ),
    Flag.PADDING_REPLACED: (
        "Voxels outside the field of view, filled with a value of their own, became -1024 HU, in "
        "MRI the lowest value of the others."
    ),
    Flag.PADDING_DOUBTFUL: (
        "The header's value for voxels outside the field of view is one of tissue, and none of "
        "these reach the edge of a slice; left as it is."
    ),
    Flag.HOUNSFIELD_STATED: (
        "A CT whose header does not say how values become Hounsfield units; the configuration says "
        "that they are (`prepare.missing_rescale`)."
    ),
    Flag.PRIVATE_SCALING: (
        "A Philips header has a private scaling too; `intensity_scaling` says which one was used. "
        "Intensities are comparable only between scans of the same scaling."
    ),
    Flag.ECHOES_MISSING: "Echo numbers have a gap; the fat fraction is from the other echoes.",
    Flag.PDFF_T1_WEIGHTED: (
        "By flip angle and repetition time fat is more than a tenth brighter than its protons, or "
        "the header lacks them: fat fractions are too high (at 20 degrees and 27 ms 12.7 % for "
        "10 %). Not corrected; do not pool with others."
    ),
    Flag.FRAME_DIFFERS: (
        "Stations or contrasts, or the slice and the Dixon images, are of different frames of "
        "reference: the participant may have moved in between, so that stations do not fit "
        "together, or labels lie beside the organs. A hint: there are scanners that give each "
        "series a frame of its own, and it is not known of every biobank whether stations share "
        "one."
    ),
    Flag.SEAM_GAIN_UNKNOWN: "A seam had too little body in its overlap to match intensities.",
    Flag.SEAM_GAIN_LIMITED: "The intensity step at a seam was too large to be matched in full.",
    Flag.ORIENTATION_STATED: (
        "The file does not say how its axes lie in the body; the setting `orientation` does."
    ),
    Flag.AFFINE_IDENTITY: (
        "Spacing 1 mm, origin 0 and no rotation: what a program writes that lost the real grid."
    ),
    Flag.QFORM_DIFFERS: "The qform of a NIfTI lies elsewhere than its sform, which counts.",
    Flag.TRANSFORM_LEFT_OUT: (
        "Of the two transforms of a NIfTI, sform and qform, one is damaged; the other counts."
    ),
    Flag.UNITS_CONVERTED: "Lengths were stated in metres, centimetres or micrometres.",
    Flag.CT_NOT_IN_HU: (
        "A CT has no value below -50, neither air nor fat, or next to none from -200 to 300, no "
        "soft tissue: probably not Hounsfield units."
    ),
    Flag.SWAP_CORRECTED: (
        "Fat and water of a station were exchanged as a whole, and exchange names again, as "
        "`prepare.correct_swaps` asks for; `corrected_spans_mm` says where."
    ),
    Flag.FAT_WATER_IMPLAUSIBLE: (
        "Fat and water have an offset, or negative signal, so are not the magnitude images that a "
        "fat fraction is of; no organ has one."
    ),
    Flag.FAT_WATER_SWAPPED: (
        "Fat and water look exchanged, in the whole scan or at some height of the body; they are "
        "as delivered, and organs at these heights have no fat fraction."
    ),
    Flag.LABELS_ROUNDED: "Labels were stored as numbers a little beside whole ones.",
    Flag.LABELMAP_TURNED: (
        "The labelmap was stored with axes exchanged or flipped, or without its empty margins, and "
        "was put onto the voxels of the image; nothing was interpolated."
    ),
    Flag.MIRRORED: (
        "Most organs that have a side lie on the other one (`side_finding`): the header of the "
        "image mirrors it, or the names of left and right are exchanged. Look at it."
    ),
    Flag.UPSIDE_DOWN: (
        "Organs of the chest lie below those of the belly, or these below those of the pelvis: the "
        "header of the image turns it upside down. Look at it."
    ),
    Flag.PHANTOM_MODEL: "Labelled by a model that was trained on phantoms; not for people.",
}
