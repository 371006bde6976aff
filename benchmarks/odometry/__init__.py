"""Odometry against true poses, and what is falsely said to move."""
