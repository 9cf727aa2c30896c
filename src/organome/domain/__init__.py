"""Scans, organs, outcomes, errors, columns: frozen dataclasses and enums; standard library only."""
