"""Reference scans and what was found with them."""
