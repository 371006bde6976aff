"""adaptation_node: learns from the camera of depth_motion_node."""
