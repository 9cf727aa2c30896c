"""Labelmaps as DICOM SEG, Slicer and ITK-SNAP read them."""
