"""adaptation_node: learns from the camera that depth_motion_node hears."""
