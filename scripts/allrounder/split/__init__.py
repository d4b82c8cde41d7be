"""Stage split: parts the photos into train and val and describes the dataset."""
