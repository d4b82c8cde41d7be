"""Stage fetch_urls: lists the candidates of every class, in rank order."""
