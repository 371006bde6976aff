"""The depth_motion command."""
