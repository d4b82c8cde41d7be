"""scripts/diff.py: compares two versions of the dataset."""
