"""Stage download: takes the first good photos of every class, in rank order."""
