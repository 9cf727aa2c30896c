"""Image + labelmap -> volumes, intensities and completeness, a row per organ."""
