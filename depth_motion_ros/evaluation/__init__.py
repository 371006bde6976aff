"""Depth, trajectory and motion metrics, with their reports."""
