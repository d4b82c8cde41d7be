"""scripts/verify.py: checks a version's files, its remote and its URLs."""
