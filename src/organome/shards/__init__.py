"""The runtime of a step: resume, lease, journal, workers, memory, faults. Knows no image."""
