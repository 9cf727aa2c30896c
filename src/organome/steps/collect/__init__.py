"""Shards -> the tables of the cohort."""
