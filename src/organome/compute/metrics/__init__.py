"""Statistics over measurements: repeatability."""
