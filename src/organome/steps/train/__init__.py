"""Datasets -> a model: the cases, nnU-Net's dataset, plans, folds, and the bundle."""
