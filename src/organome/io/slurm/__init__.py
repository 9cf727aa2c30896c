"""SLURM's commands, and Snakemake's profiles."""
