"""What earlier runs left: dvc.lock's pins, the download's journal, states of local files."""
