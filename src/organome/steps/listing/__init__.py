"""Deal the scans of a cohort to shards: the sample sheet."""
