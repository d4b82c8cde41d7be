"""Stage split: divides the photos into train and val, and describes the dataset."""
