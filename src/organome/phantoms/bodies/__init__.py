"""People and their organs, drawn."""
