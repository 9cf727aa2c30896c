"""Check whether a cohort can be run here, and say what to do about it."""
