"""The parameters of depth_motion_node: those of the estimator's settings, and its own."""

from __future__ import annotations

from dataclasses import replace

from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.models.config import SIZE_STEP, NetworkConfig
from depth_motion_ros.settings import LIVE, START, Setting, declared

# As engines/select.py takes them; named here too because that module loads PyTorch.
ENGINES = ("auto", "tensorrt", "cpu", "openvino", "onnxruntime", "torch")
PRECISIONS = ("auto", "fp32", "fp16")
RAW, COMPRESSED = "raw", "compressed"

_ESTIMATOR = declared(EstimatorSettings)
# Not for users: the measured values are right for every camera, or other parameters or the weights
# give them.
_INTERNAL = {"lost_ratio", "min_valid", "intrinsics_window", "unit"}
ESTIMATOR_PARAMETERS = tuple(name for name in _ESTIMATOR if name not in _INTERNAL)
"""Names of the estimator's settings that are parameters of the same name."""

IMAGE_TRANSPORT = Setting(
    "image_transport", RAW, "input topic: image, or image/compressed", choices=(RAW, COMPRESSED)
)
QOS = Setting(
    "qos",
    "auto",
    "reliability requested from the inputs; auto = what their publishers offer",
    choices=("auto", "reliable", "best_effort"),
)
RECTIFY = Setting(
    "rectify",
    True,
    "remove the lens distortion that camera_info describes; false = the images are rectified, and "
    "P of camera_info holds (as it does for a topic named image_rect)",
)
ARCHITECTURE = declared(NetworkConfig)["architecture"]
CAMERA_XYZ = Setting(
    "camera_xyz",
    [0.0, 0.0, 0.0],
    "position of the camera in base_frame",
    unit="m",
    length=3,
    minimum=-100.0,
    maximum=100.0,
)
CAMERA_RPY = Setting(
    "camera_rpy",
    [0.0, 0.0, 0.0],
    "roll, pitch and yaw of the camera's body (x forward, z up) in base_frame; pitch > 0 looks "
    "down",
    unit="rad",
    length=3,
    minimum=-6.2832,
    maximum=6.2832,
)
DIAGNOSTICS_PERIOD = Setting(
    "diagnostics_period",
    1.0,
    "time between two messages on /diagnostics",
    START,
    "s",
    minimum=0.1,
    maximum=60.0,
)

_INPUT = (IMAGE_TRANSPORT, QOS, RECTIFY, _ESTIMATOR["square_pixels"], _ESTIMATOR["max_gap"])

_NETWORK = (
    Setting(
        "weights",
        "",
        "weights file, or default or free: those of the package, the second without restrictions "
        "on commercial use; empty = default",
    ),
    Setting(
        "use_adapted",
        False,
        "start with the adapted weights that ~/save has written, if they were learned from the "
        "weights named above",
    ),
    Setting(
        "adapted_weights",
        "",
        "file of ~/save and use_adapted; empty = a file with the node's name in depth_motion "
        "under $ROS_HOME, or ~/.ros",
    ),
    ARCHITECTURE,
    Setting(
        "engine",
        "auto",
        "runtime (cpu = OpenVINO, or ONNX Runtime without it; tensorrt is experimental); "
        "auto = the fastest one available",
        choices=ENGINES,
    ),
    Setting(
        "precision",
        "auto",
        "arithmetic of the engine, fp16 only on a GPU; auto = fp16 in TensorRT, else fp32",
        choices=PRECISIONS,
    ),
    Setting("device", "auto", "device of the engine: auto, cpu, cuda or cuda:N"),
    Setting("threads", 0, "CPU threads of the engine; 0 = its own choice", minimum=0, maximum=64),
    *(
        Setting(
            f"input_{side}",
            0,
            f"{side} of the network's input, a multiple of {SIZE_STEP}; 0 = as the weights were "
            "trained",
            unit="px",
            minimum=0,
            maximum=2048,
            multiple=SIZE_STEP,
        )
        for side in ("width", "height")
    ),
)

_FRAMES = (
    Setting("odom_frame", "odom", "frame of the pose in odom"),
    Setting("base_frame", "base_link", "frame of the robot, child of odom_frame"),
    Setting("camera_frame", "", "optical frame of the outputs; empty = the frame_id of the images"),
    CAMERA_XYZ,
    CAMERA_RPY,
    Setting(
        "use_tf_extrinsic",
        False,
        "look up base_frame <- camera in TF instead of camera_xyz and camera_rpy (needs tf2_ros)",
    ),
    Setting(
        "publish_tf",
        False,
        "publish odom_frame -> base_frame on /tf (needs tf2_msgs); leave it to the EKF if there is "
        "one",
    ),
    Setting(
        "publish_camera_tf",
        False,
        "publish base_frame -> camera, from camera_xyz and camera_rpy, on /tf_static (needs "
        "tf2_msgs); leave it to the robot description if that has the camera",
    ),
)

_SCALE = (
    *(_ESTIMATOR[name] for name in ("scale_source", "camera_height", "scale", "publish_unscaled")),
)

_DEPTH_RELATIVE_STD = _ESTIMATOR["depth_relative_std"]
_MOTION = (
    *(_ESTIMATOR[name] for name in ("refine", "on_lost", "lost_speed", "lost_turn_rate")),
    replace(
        _DEPTH_RELATIVE_STD,
        default=0.0,
        description=f"{_DEPTH_RELATIVE_STD.description}; 0 = as the weights state, or "
        f"{_DEPTH_RELATIVE_STD.default} if they do not",
    ),
    *(
        _ESTIMATOR[name]
        for name in (
            "static_error",
            "max_photometric_error",
            "max_residual_px",
            "min_image_correlation",
            "min_inlier_ratio",
            "min_texture",
        )
    ),
)

_OUTPUT = (
    Setting(
        "depth_encoding",
        "32FC1",
        "depth/image in metres (NaN = invalid) or in millimetres (0 = invalid, at most 65.535 m)",
        LIVE,
        choices=("32FC1", "16UC1"),
    ),
    _ESTIMATOR["depth_source"],
    _ESTIMATOR["max_depth_std"],
    _ESTIMATOR["min_depth"],
    _ESTIMATOR["max_depth"],
    Setting(
        "point_stride",
        1,
        "depth/points: keep every Nth row and column",
        LIVE,
        "px",
        minimum=1,
        maximum=32,
    ),
    *(_ESTIMATOR[name] for name in ("object_motion", "object_flow_threshold", "object_flow_ratio")),
)

_NODE = (
    Setting(
        "autostart",
        True,
        "configure and activate at the start, and end if that fails; false = wait for a lifecycle "
        "manager",
        START,
    ),
    DIAGNOSTICS_PERIOD,
)

DEPTH_MOTION_PARAMETERS = (*_INPUT, *_NETWORK, *_FRAMES, *_SCALE, *_MOTION, *_OUTPUT, *_NODE)
