"""Deliveries corrupted at random, taken through the steps: every scan a row, no job stopped."""
