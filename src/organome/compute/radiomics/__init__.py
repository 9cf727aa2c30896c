"""Features of all organs in one pass, equal to pyradiomics."""
