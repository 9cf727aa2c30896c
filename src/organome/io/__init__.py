"""One format per module; whole or not at all."""
