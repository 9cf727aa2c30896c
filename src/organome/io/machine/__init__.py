"""Memory, kind of machine, certificates."""
