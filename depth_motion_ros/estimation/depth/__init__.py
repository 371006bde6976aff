"""Depth of every pixel: the network's prior, corrected by what the camera's motion triangulates."""
