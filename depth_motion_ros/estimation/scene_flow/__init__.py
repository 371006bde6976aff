"""Scene flow of moving objects: what neither ego-motion nor depth explains."""
