"""scripts/takedown.py: finds every object that holds a photo or its copies, and deletes them."""
