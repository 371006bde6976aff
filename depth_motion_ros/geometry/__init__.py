"""Cameras, rotations, rigid transforms and image warping."""
