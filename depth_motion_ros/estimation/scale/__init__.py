"""One unit of length from frame to frame, and metres."""
