"""Labelmaps against references: metrics of each organ, and the tables and figures of the paper."""
