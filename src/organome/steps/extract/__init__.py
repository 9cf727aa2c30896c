"""Labelmaps for 3D Slicer, ITK-SNAP or a DICOM archive."""
