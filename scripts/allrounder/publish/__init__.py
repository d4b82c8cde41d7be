"""Publishes a version of the dataset elsewhere."""
