"""How a run begins: a folder and its configuration."""
