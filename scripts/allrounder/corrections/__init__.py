"""scripts/corrections.py: adds lines to corrections.csv, and says what they do."""
