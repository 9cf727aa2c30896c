"""Volumes beside those of others, and beside themselves: agreement and repeatability."""
