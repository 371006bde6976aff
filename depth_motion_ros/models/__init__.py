"""DepthNet, MotionNet and the files their weights live in."""
