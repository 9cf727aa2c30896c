"""Organome turns the scans of a biobank into tables of organs."""

from typing import Final

__version__: Final = "0.1.0"
