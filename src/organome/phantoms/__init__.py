"""The made-up cohort, its truth, and the small model trained on it; for demo and tests only."""
