"""Tool start: writes a params.yaml for photos of your own."""
