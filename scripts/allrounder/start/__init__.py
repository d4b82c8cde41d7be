"""Tool start: writes a params.yaml for photos that are there already."""
