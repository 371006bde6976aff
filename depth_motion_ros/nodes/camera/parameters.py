"""The parameters of camera_node."""

from __future__ import annotations

from depth_motion_ros.settings import START, Setting

AUTO, SOURCE, NOW = "auto", "source", "now"

CAMERA_PARAMETERS = (
    Setting(
        "source",
        "",
        "what to play: a video file, an image folder, a sequence or KITTI folder, a rosbag2, "
        "sim:NAME or /dev/videoN; required",
        START,
    ),
    Setting(
        "rate",
        0.0,
        "frames per second; 0 = the pace of the source's own stamps",
        START,
        "Hz",
        minimum=0.0,
        maximum=1000.0,
    ),
    Setting("topic", "", "image topic of a bag; empty = its only one", START),
    Setting("odometry_topic", "", "odometry topic of a bag; empty = its only one", START),
    Setting(
        "camera_info_url",
        "",
        "calibration file of a video, an image folder or a device, as a path or file:///path; "
        "empty = none: the intrinsics are unknown, or the source has its own",
        START,
    ),
    Setting(
        "rectified",
        False,
        "the images are rectified, and P of the source's CameraInfo holds (as it does for a topic "
        "named image_rect)",
        START,
    ),
    Setting("loop", False, "play the source again and again; false = the node ends with it", START),
    Setting("reliable", True, "reliable instead of best-effort delivery", START),
    Setting(
        "frame_id", "camera_optical_frame", "frame of the images: optical axes, z forward", START
    ),
    Setting(
        "stamps",
        AUTO,
        "time of an image: what the source says (source), or the moment of publishing (now); auto "
        "= source for what has a clock (a bag, a device, a data set with dates), else now",
        START,
        choices=(AUTO, SOURCE, NOW),
    ),
    Setting("compressed", False, "publish JPEG on image/compressed as well", START),
    Setting("jpeg_quality", 90, "quality of image/compressed", START, minimum=1, maximum=100),
    Setting(
        "wait_for_subscribers",
        0,
        "wait for this many subscribers of the image, so that they miss no frame",
        START,
        minimum=0,
        maximum=100,
    ),
    Setting(
        "publish_truth",
        False,
        "publish what the source knows: depth_truth/image, pose_truth, and odom_in",
        START,
    ),
    Setting(
        "width",
        0,
        "image width of a simulator scene; 0 = the scene's own",
        START,
        "px",
        minimum=0,
        maximum=8192,
    ),
    Setting(
        "height",
        0,
        "image height of a simulator scene; 0 = the scene's own",
        START,
        "px",
        minimum=0,
        maximum=8192,
    ),
)
