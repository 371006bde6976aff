"""The parameters of camera_node."""

from __future__ import annotations

from depth_motion_ros.nodes.ros.parameters import START, Parameter

SOURCE, NOW = "source", "now"

CAMERA_PARAMETERS = (
    Parameter(
        "source",
        "",
        "what to play: a video file, an image folder, a sequence or KITTI folder, a rosbag2, "
        "sim:NAME or /dev/videoN; required",
        START,
    ),
    Parameter(
        "rate",
        0.0,
        "frames per second; 0 = the pace of the source's own stamps",
        START,
        "Hz",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter("topic", "", "image topic of a bag; empty = its only one", START),
    Parameter("odometry_topic", "", "odometry topic of a bag; empty = its only one", START),
    Parameter(
        "camera_info_url",
        "",
        "calibration file of a video, an image folder or a device, as a path or file:///path; "
        "empty = none: the intrinsics are not known, or the source has its own",
        START,
    ),
    Parameter("loop", False, "begin anew at the end; otherwise the node ends there", START),
    Parameter("reliable", True, "reliable instead of best-effort delivery", START),
    Parameter(
        "frame_id", "camera_optical_frame", "frame of the images: optical axes, z forward", START
    ),
    Parameter(
        "stamps",
        SOURCE,
        "time of an image: what the source says, or the moment of publishing",
        START,
        choices=(SOURCE, NOW),
    ),
    Parameter("compressed", False, "publish JPEG on image/compressed as well", START),
    Parameter("jpeg_quality", 90, "quality of image/compressed", START, minimum=1, maximum=100),
    Parameter(
        "wait_for_subscribers",
        0,
        "wait with the first frame for so many subscribers of the image, so that they miss none",
        START,
        minimum=0,
        maximum=100,
    ),
    Parameter(
        "publish_truth",
        False,
        "publish what the source knows: depth_truth/image, pose_truth, and odom_in",
        START,
    ),
    Parameter(
        "width",
        0,
        "image width of a simulator scene; 0 = the scene's own",
        START,
        "px",
        minimum=0,
        maximum=8192,
    ),
    Parameter(
        "height",
        0,
        "image height of a simulator scene; 0 = the scene's own",
        START,
        "px",
        minimum=0,
        maximum=8192,
    ),
)
