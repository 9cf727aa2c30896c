"""Parquet tables, ledgers, the sample sheet, label schemes, settings."""
