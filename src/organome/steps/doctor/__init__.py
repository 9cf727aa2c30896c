"""Check whether a cohort or a training can be run here, and say what to do about it."""
