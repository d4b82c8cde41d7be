"""Work on a Ray cluster, where the params or RAY_ADDRESS ask for it."""
