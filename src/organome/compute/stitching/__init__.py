"""Stations -> one image; seams between them."""
