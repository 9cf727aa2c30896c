"""Training of the phantom model."""
