"""Camera and node under shifting load, for as long as one likes."""
