"""Volumes, overlap, agreement and consensus of labelmaps."""
