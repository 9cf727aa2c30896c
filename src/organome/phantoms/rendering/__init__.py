"""Bodies -> images as a scanner would show them."""
