"""Tables for other programs and for sharing: formats, group statistics, genetics."""
