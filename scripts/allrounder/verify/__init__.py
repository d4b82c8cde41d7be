"""scripts/verify.py and diff.py: is a version whole, and what tells two versions apart?"""
