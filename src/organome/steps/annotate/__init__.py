"""Rounds of annotation: scans out to a person, corrected labels back, the next training."""
