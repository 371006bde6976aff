"""Where frames come from: video, image folders, KITTI, rosbag2, the simulator."""
