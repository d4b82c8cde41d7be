"""Finds what keeps a clone from working, and names the command that mends it."""
