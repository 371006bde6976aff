"""Ego-motion: the camera's motion between two frames, refined by aligning the images."""
