"""ROS 2 nodes: the only folder that imports rclpy or a message package."""

import os

# OpenBLAS reads this when NumPy is first imported, which every node does after this. Its threads
# spin between the small systems that a frame solves: with them, a frame took twice the processor
# time (54 ms of two cores instead of 28), and the camera's process paid for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
