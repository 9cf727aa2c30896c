"""Grids in the body: faces, orientation, resampling."""
