"""Images in, images or numbers out; no file, no clock, no log."""
