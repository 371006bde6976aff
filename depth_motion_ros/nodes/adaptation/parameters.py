"""The parameters of adaptation_node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.nodes.perception.parameters import COMPRESSED, RAW
from depth_motion_ros.nodes.ros.parameters import START, Parameter

_INPUT = (
    Parameter(
        "image_transport",
        RAW,
        "which topic to hear: image, or image/compressed",
        START,
        choices=(RAW, COMPRESSED),
    ),
    Parameter(
        "qos",
        "auto",
        "reliability asked of the inputs; auto takes what their publishers offer",
        START,
        choices=("auto", "reliable", "best_effort"),
    ),
    Parameter(
        "rectify",
        True,
        "undo the lens distortion that CameraInfo describes; false = the images are without it",
        START,
    ),
    Parameter(
        "frame_rate",
        10.0,
        "images looked at; those between are not even decoded",
        START,
        "Hz",
        minimum=0.1,
        maximum=1000.0,
    ),
    Parameter(
        "camera_xyz",
        [0.0, 0.0, 0.0],
        "where the camera sits in the frame that odom_in tells the pose of",
        START,
        "m",
        length=3,
        minimum=-100.0,
        maximum=100.0,
    ),
    Parameter(
        "camera_rpy",
        [0.0, 0.0, 0.0],
        "roll, pitch, yaw of the camera's body (x forward, z up) there; pitch > 0 looks down",
        START,
        "rad",
        length=3,
        minimum=-6.2832,
        maximum=6.2832,
    ),
)

_NODE = (
    Parameter(
        "weights",
        "",
        "weights file to begin with, or default or free, the same as that of depth_motion_node; "
        "empty = default",
        START,
    ),
    Parameter(
        "architecture",
        "lite",
        "network where no weights file says it",
        START,
        choices=("lite", "resnet18"),
    ),
    Parameter("enabled", True, "learn from the start on; false = wait for ~/enable", START),
    Parameter(
        "nice",
        19,
        "how far the process stands back behind others on the same cores; 0 = not at all",
        START,
        minimum=0,
        maximum=19,
    ),
    Parameter("threads", 1, "CPU threads of the learner", START, minimum=1, maximum=64),
    Parameter("persist", True, "keep what was learned, and go on with it at the next start", START),
    Parameter(
        "state_folder",
        "",
        "where it is kept; empty = depth_motion/NODE-ARCHITECTURE-WEIGHTS under $ROS_HOME, or "
        "~/.ros",
        START,
    ),
    Parameter(
        "save_period",
        60.0,
        "time between two savings; every release is saved, too",
        START,
        "s",
        minimum=1.0,
        maximum=86400.0,
    ),
    Parameter(
        "replay_data",
        "",
        "recording (video, folder, bag, sim:NAME) whose pairs must not be forgotten; empty = "
        "rendered ones",
        START,
    ),
    Parameter(
        "replay_pairs",
        96,
        "how many pairs must not be forgotten",
        START,
        "pairs",
        minimum=2,
        maximum=1000,
    ),
    Parameter(
        "tensorboard",
        "",
        "folder for curves that TensorBoard shows (needs tensorboard); empty = none",
        START,
    ),
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


def _learner() -> Iterator[Parameter]:
    """The fields of AdaptationSettings, each with what it says of itself."""
    for entry in fields(AdaptationSettings):
        about = entry.metadata
        low, high = about.get("range", (None, None))
        yield Parameter(
            entry.name,
            entry.default,  # type: ignore[arg-type]
            about["description"],
            START,
            about.get("unit", ""),
            minimum=low,
            maximum=high,
            choices=about.get("choices", ()),
        )


SETTINGS = tuple(_learner())
ADAPTATION_PARAMETERS = (*_INPUT, *_NODE, *SETTINGS)
