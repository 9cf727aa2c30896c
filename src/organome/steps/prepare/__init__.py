"""Archives, DICOM and image files -> checked, stitched images."""
