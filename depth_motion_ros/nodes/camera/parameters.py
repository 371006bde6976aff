"""The parameters of camera_node."""

from __future__ import annotations

from depth_motion_ros.settings import START, Setting

SOURCE, NOW = "source", "now"

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
        "rectified",
        False,
        "the images are rectified, and P of the source's CameraInfo holds (as it does for a topic "
        "named image_rect)",
        START,
    ),
    Setting("loop", False, "begin anew at the end; otherwise the node ends there", START),
    Setting("reliable", True, "reliable instead of best-effort delivery", START),
    Setting(
        "frame_id", "camera_optical_frame", "frame of the images: optical axes, z forward", START
    ),
    Setting(
        "stamps",
        SOURCE,
        "time of an image: what the source says, or the moment of publishing",
        START,
        choices=(SOURCE, NOW),
    ),
    Setting("compressed", False, "publish JPEG on image/compressed as well", START),
    Setting("jpeg_quality", 90, "quality of image/compressed", START, minimum=1, maximum=100),
    Setting(
        "wait_for_subscribers",
        0,
        "wait with the first frame for so many subscribers of the image, so that they miss none",
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
