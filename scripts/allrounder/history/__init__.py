"""Data of earlier runs: dvc.lock's pins, the download's journal, states of local files."""
