"""Stage fetch_urls: asks the sources (sources/) and lists each class's candidates in rank order."""
