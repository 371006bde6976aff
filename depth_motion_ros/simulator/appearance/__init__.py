"""Materials, patterns and textures."""
