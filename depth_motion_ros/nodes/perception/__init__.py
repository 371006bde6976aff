"""depth_motion_node: images in; depth, odometry and moving objects out."""
