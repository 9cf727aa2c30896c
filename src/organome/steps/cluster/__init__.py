"""Run the workflow: Snakemake under a watchdog, here or on SLURM."""
