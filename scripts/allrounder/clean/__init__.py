"""Stage clean: decodes each photo and decides which are kept."""
