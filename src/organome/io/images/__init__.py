"""NIfTI, NRRD and MHA images and labelmaps."""
