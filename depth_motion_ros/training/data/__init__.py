"""From recordings to batches of image pairs."""
