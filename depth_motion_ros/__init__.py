"""Depth, ego-motion and object motion from one camera, learned from plain video."""
