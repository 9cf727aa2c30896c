"""Look at a run: status, tables, what the rest will cost."""
