"""The arguments of camera.launch.py, which the other launch files have as well."""

from __future__ import annotations

from depth_motion_ros.launching.arguments import (
    AUTO_BOOLEAN,
    BOOLEAN,
    CHOICE,
    NAMESPACE,
    NUMBER,
    PREFIX,
    TOPIC,
    Argument,
)
from depth_motion_ros.share import config_file

RAW, COMPRESSED = "raw", "compressed"
# Seconds that a node may take for its end: a frame of the slowest engine, a saving of what was
# learned. launch itself gives 5, and 5 more.
SIGTERM_TIMEOUT, SIGKILL_TIMEOUT = "30", "15"

CAMERA_ARGUMENTS = (
    Argument("namespace", "", "namespace of all nodes", NAMESPACE),
    Argument(
        "image",
        "image",
        "topic of the images, without /compressed; a namespace applies to relative names",
        TOPIC,
    ),
    Argument(
        "camera_info",
        "",
        "topic of their CameraInfo; empty = camera_info beside the image's topic",
        TOPIC,
    ),
    Argument(
        "image_transport",
        "",
        "raw, or compressed: hear IMAGE/compressed; empty = as the parameters say",
        CHOICE,
        (RAW, COMPRESSED),
    ),
    Argument("odom", "odom", "topic of the odometry that depth_motion_node publishes", TOPIC),
    Argument(
        "odom_in", "odom_in", "topic of an odometry in metres that it takes the scale from", TOPIC
    ),
    Argument(
        "params_file", str(config_file("depth_motion.yaml")), "parameters of depth_motion_node"
    ),
    Argument(
        "weights",
        "",
        "weights file of depth_motion_node and adaptation_node; empty = as their parameters say",
    ),
    Argument(
        "adaptation",
        "false",
        "also start adaptation_node, which goes on learning on the robot",
        BOOLEAN,
    ),
    Argument(
        "adaptation_params_file",
        str(config_file("adaptation.yaml")),
        "parameters of adaptation_node",
    ),
    Argument(
        "source",
        "",
        "also start a camera: usb_cam, v4l2_camera, or what our camera_node plays (a video, a "
        "folder, a bag, sim:NAME, /dev/videoN); empty = one runs already",
    ),
    Argument("camera_params_file", "", "parameters of the camera's node; empty = its own defaults"),
    Argument(
        "camera_info_url",
        "",
        "calibration file of the camera, such as file:///home/me/camera.yaml; empty = none",
    ),
    Argument("loop", "false", "begin a recorded source anew at its end", BOOLEAN),
    Argument("rate", "", "frames per second of a recorded source; empty = its own", NUMBER),
    Argument(
        "publish_tf",
        "",
        "depth_motion_node sends odom -> base_link on /tf; empty = as params_file says, and true "
        "for rviz:=true with the default params_file",
        AUTO_BOOLEAN,
    ),
    Argument(
        "publish_camera_tf",
        "",
        "it also sends base_link -> camera on /tf_static, from camera_xyz and camera_rpy, where no "
        "robot description does; empty = as for publish_tf",
        AUTO_BOOLEAN,
    ),
    Argument(
        "frame_prefix",
        "",
        "what the names of all frames begin with, such as robot1/, for several robots on one TF "
        "tree",
        PREFIX,
    ),
    Argument("rviz", "false", "start RViz with a view of all outputs", BOOLEAN),
    Argument("autostart", "true", "configure and activate depth_motion_node", BOOLEAN),
    Argument(
        "respawn",
        "false",
        "start a node again that has ended by itself (never one whose parameters are wrong)",
        BOOLEAN,
    ),
    Argument("use_sim_time", "false", "take the time from /clock", BOOLEAN),
    Argument(
        "log_level",
        "info",
        "level of our nodes' messages",
        CHOICE,
        ("debug", "info", "warn", "error", "fatal"),
    ),
    Argument(
        "sigterm_timeout",
        SIGTERM_TIMEOUT,
        "seconds after Ctrl-C until a process that still runs gets SIGTERM",
        NUMBER,
    ),
    Argument("sigkill_timeout", SIGKILL_TIMEOUT, "seconds after that until SIGKILL", NUMBER),
)
