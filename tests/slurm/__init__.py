"""A SLURM cluster of one machine, and what can go wrong on it."""
