"""Frame in, Estimate out: state from frame to frame, odometry, scale, cloud, moving objects."""
