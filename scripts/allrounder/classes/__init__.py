"""scripts/classes.py: searches the catalogue and edits the classes in params.yaml."""
