"""camera_node: a file, a folder, a bag, a scene or a device, published as a camera."""
