"""The parameters of depth_motion_node."""

from __future__ import annotations

from depth_motion_ros.nodes.ros.parameters import LIVE, START, Parameter

# As engines/select.py takes them; named here too because that module loads PyTorch.
ENGINES = ("auto", "tensorrt", "cpu", "openvino", "onnxruntime", "torch")
PRECISIONS = ("auto", "fp32", "fp16", "int8")
RAW, COMPRESSED = "raw", "compressed"

_INPUT = (
    Parameter(
        "image_transport",
        RAW,
        "which topic to hear: image, or image/compressed",
        choices=(RAW, COMPRESSED),
    ),
    Parameter(
        "qos",
        "auto",
        "reliability asked of the inputs; auto takes what their publishers offer",
        choices=("auto", "reliable", "best_effort"),
    ),
    Parameter(
        "rectify",
        True,
        "undo the lens distortion that CameraInfo describes; false = the images are without it",
    ),
    Parameter(
        "square_pixels",
        True,
        "without camera_info: the camera's pixels are square, so what the network learns of fx and "
        "fy becomes one focal length",
    ),
    Parameter(
        "max_gap",
        1.0,
        "a longer time between two served frames resets the motion state",
        LIVE,
        "s",
        minimum=0.01,
        maximum=60.0,
    ),
)

_NETWORK = (
    Parameter(
        "weights",
        "",
        "weights file, or default or free: those of the package, the second without the "
        "restrictions on commercial use; empty = default",
    ),
    Parameter(
        "use_adapted",
        False,
        "begin with the adapted weights that ~/save has written, where they were learned from "
        "the weights named above",
    ),
    Parameter(
        "adapted_weights",
        "",
        "file of ~/save and use_adapted; empty = depth_motion/adapted-ARCHITECTURE.safetensors "
        "under $ROS_HOME, or ~/.ros",
    ),
    Parameter(
        "architecture",
        "lite",
        "network where no weights file says it",
        choices=("lite", "resnet18"),
    ),
    Parameter(
        "engine",
        "auto",
        "runtime (cpu = OpenVINO, or ONNX Runtime without it); auto = the fastest that is there",
        choices=ENGINES,
    ),
    Parameter(
        "precision",
        "auto",
        "arithmetic of the engine, fp16 on a GPU alone; auto = fp16 in TensorRT, else fp32",
        choices=PRECISIONS,
    ),
    Parameter("device", "auto", "where the engine runs: auto, cpu, cuda or cuda:N"),
    Parameter("threads", 0, "CPU threads of the engine; 0 = its own choice", minimum=0, maximum=64),
    Parameter(
        "input_width",
        0,
        "width of the network's input, a multiple of 32; 0 = as the weights were trained",
        unit="px",
        minimum=0,
        maximum=2048,
    ),
    Parameter(
        "input_height",
        0,
        "height of the network's input, a multiple of 32; 0 = as the weights were trained",
        unit="px",
        minimum=0,
        maximum=2048,
    ),
)

_FRAMES = (
    Parameter("odom_frame", "odom", "frame in which odom tells the pose"),
    Parameter("base_frame", "base_link", "frame of the robot: child of odom_frame"),
    Parameter(
        "camera_frame", "", "optical frame of the outputs; empty = the frame_id of the images"
    ),
    Parameter(
        "camera_xyz",
        [0.0, 0.0, 0.0],
        "where the camera sits in base_frame",
        unit="m",
        length=3,
        minimum=-100.0,
        maximum=100.0,
    ),
    Parameter(
        "camera_rpy",
        [0.0, 0.0, 0.0],
        "roll, pitch, yaw of the camera's body (x forward, z up) in base_frame; pitch > 0 looks "
        "down",
        unit="rad",
        length=3,
        minimum=-6.2832,
        maximum=6.2832,
    ),
    Parameter(
        "use_tf_extrinsic",
        False,
        "take base_frame <- camera from TF instead of camera_xyz and camera_rpy (needs tf2_ros)",
    ),
    Parameter(
        "publish_tf",
        False,
        "send odom_frame -> base_frame on /tf (needs tf2_msgs); an EKF, if any, owns it instead",
    ),
    Parameter(
        "publish_camera_tf",
        False,
        "send base_frame -> camera, as camera_xyz and camera_rpy say, on /tf_static (needs "
        "tf2_msgs); where a robot description has the camera, that one owns it",
    ),
)

_SCALE = (
    Parameter(
        "scale_source",
        "auto",
        "who knows the metre; auto = the first of odom_in, camera_height and scale that knows",
        choices=("auto", "odometry", "camera_height", "constant"),
    ),
    Parameter(
        "camera_height",
        0.0,
        "height of the camera over the ground; 0 = not known (scale_source camera_height then "
        "takes it from camera_xyz)",
        unit="m",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter(
        "unknown_scale",
        "unit",
        "while nobody knows the metre: tell everything in the network's unit, or nothing",
        choices=("unit", "silent"),
    ),
    Parameter(
        "scale",
        0.0,
        "metres per unit of the network; 0 = not known: until a source says it, everything is in "
        "the unit that the network was taught, as the weights tell",
        unit="m",
        minimum=0.0,
        maximum=10000.0,
    ),
)

_MOTION = (
    Parameter(
        "refine",
        True,
        "align the images to refine the network's motion and what is smoothly wrong in its depth "
        "(docs/odometry.md)",
    ),
    Parameter(
        "when_lost",
        "silent",
        "odom while tracking is lost: nothing, or the last motion with a large covariance",
        choices=("silent", "hold"),
    ),
    Parameter(
        "lost_speed",
        1.0,
        "while there is no motion estimate the pose grows uncertain by this speed: what the robot "
        "may do unseen",
        LIVE,
        "m/s",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter(
        "lost_turn_rate",
        0.5,
        "the same for turning",
        LIVE,
        "rad/s",
        minimum=0.0,
        maximum=100.0,
    ),
    Parameter(
        "depth_error",
        0.0,
        "relative standard deviation of the error of the network's depth: refinement and the "
        "covariance of odom rest on it; 0 = as the weights say, or 0.3 where they do not",
        LIVE,
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "static_error",
        0.005,
        "two images that differ by less may show a camera at rest (mean, intensity of 0 to 1): "
        "more for a noisy camera",
        LIVE,
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "lost_error",
        0.15,
        "tracking is lost when the warped image differs by more (mean, intensity of 0 to 1)",
        LIVE,
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "lost_displacement",
        1.0,
        "tracking is lost when the refined motion leaves more of the image's displacement "
        "unexplained (pixels of the network's input)",
        LIVE,
        "px",
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter(
        "min_likeness",
        0.28,
        "tracking is lost where the details of two images correlate less, whatever the motion: a "
        "cut to another place",
        LIVE,
        minimum=-1.0,
        maximum=1.0,
    ),
    Parameter(
        "min_agreement",
        0.55,
        "tracking is lost where so much fewer corners agree on a motion than usually do (share of "
        "the usual): something large moves before the camera; 0 = never for that",
        LIVE,
        minimum=0.0,
        maximum=1.0,
    ),
    Parameter(
        "min_texture",
        0.005,
        "tracking is lost where there is less to see (mean gradient of an eighth of the image, "
        "intensity of 0 to 1 per pixel)",
        LIVE,
        minimum=0.0,
        maximum=1.0,
    ),
)

_OUTPUT = (
    Parameter(
        "depth_encoding",
        "32FC1",
        "depth/image in metres (NaN = invalid) or in millimetres (0 = invalid, at most 65.535 m)",
        LIVE,
        choices=("32FC1", "16UC1"),
    ),
    Parameter("min_depth", 1e-3, "nearer depth is invalid", LIVE, "m", minimum=0.0, maximum=1000.0),
    Parameter(
        "max_depth", 100.0, "farther depth is invalid", LIVE, "m", minimum=0.01, maximum=10000.0
    ),
    Parameter(
        "point_stride",
        1,
        "every so-manyth row and column of depth/points",
        LIVE,
        "px",
        minimum=1,
        maximum=32,
    ),
    Parameter(
        "object_motion",
        "flow",
        "what tells the motion of objects: optical flow against the camera's motion and depth, or "
        "the residual field of the network",
        LIVE,
        choices=("flow", "network"),
    ),
    Parameter(
        "object_flow_threshold",
        0.3,
        "slower object motion counts as static",
        LIVE,
        "m/s",
        minimum=0.0,
        maximum=100.0,
    ),
    Parameter(
        "object_flow_ratio",
        0.15,
        "object motion slower than this share of its depth per second counts as static; "
        "of object_motion network alone",
        LIVE,
        "1/s",
        minimum=0.0,
        maximum=100.0,
    ),
)

_NODE = (
    Parameter("autostart", True, "configure and activate at the start", START),
    Parameter(
        "diagnostics_period",
        1.0,
        "time between two messages on /diagnostics",
        START,
        "s",
        minimum=0.1,
        maximum=60.0,
    ),
)

DEPTH_MOTION_PARAMETERS = (*_INPUT, *_NETWORK, *_FRAMES, *_SCALE, *_MOTION, *_OUTPUT, *_NODE)
