"""``depth_motion doctor`` and its checks."""
