"""Depth and motion triangulated from video, as supervision."""
