"""Stage report: one page that shows the dataset and how it was built."""
