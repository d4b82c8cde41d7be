"""Stage download: asks for the candidates and takes the first good photos in rank order."""
