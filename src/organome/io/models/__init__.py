"""Model folders, checkpoints, downloads."""
