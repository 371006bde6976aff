"""``depth_motion demo`` and its parts."""
