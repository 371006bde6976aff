"""ROS 2 nodes: the only folder that imports rclpy or a message package."""

import os

# OpenBLAS reads this when NumPy is first imported, which every node does after this. Its threads
# spin between the small systems that a frame solves: with them, a frame took twice the processor
# time (54 ms of two cores instead of 28), and the camera's process paid for it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Images of the networks' size are too small for OpenCV's threads: alone on two cores a frame takes
# as long with one, and beside the other threads of a node 50 ms of processor time instead of 54.
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
