"""Stage clean: decodes every photo and decides which ones are kept."""
