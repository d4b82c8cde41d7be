"""Stage report: one page that shows a dataset and how it came to be; it decides nothing."""
