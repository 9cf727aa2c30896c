"""DICOM slices and their voxels."""
