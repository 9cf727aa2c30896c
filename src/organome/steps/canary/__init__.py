"""Reference scans that every kind of machine must label alike."""
