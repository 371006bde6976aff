"""Recordings of a robot: rosbag2 and ROS 1 bags."""
