"""The parameters of adaptation_node: the learner's settings, and its own."""

from __future__ import annotations

from dataclasses import replace

from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.nodes.perception.parameters import (
    ARCHITECTURE,
    CAMERA_RPY,
    CAMERA_XYZ,
    DIAGNOSTICS_PERIOD,
    IMAGE_TRANSPORT,
    QOS,
    RECTIFY,
)
from depth_motion_ros.settings import START, Setting, declared

SETTINGS = tuple(declared(AdaptationSettings).values())

_INPUT = (
    IMAGE_TRANSPORT,
    QOS,
    RECTIFY,
    Setting(
        "frame_rate",
        10.0,
        "rate of the images used; those between are not even decoded",
        unit="Hz",
        minimum=0.1,
        maximum=1000.0,
    ),
    replace(CAMERA_XYZ, description="position of the camera in the child frame of odom_in"),
    replace(
        CAMERA_RPY,
        description="roll, pitch and yaw of the camera's body (x forward, z up) in the child frame "
        "of odom_in; pitch > 0 looks down",
    ),
)

_NODE = (
    Setting(
        "weights",
        "",
        "weights to start from, as of depth_motion_node: a file, default or free; empty = default",
    ),
    ARCHITECTURE,
    Setting("enabled", True, "learn from the start; false = wait for ~/enable"),
    Setting(
        "nice", 19, "process niceness: 0 = normal priority, 19 = lowest", minimum=0, maximum=19
    ),
    Setting("threads", 1, "CPU threads of the learner", minimum=1, maximum=64),
    Setting("persist", True, "save what was learned, and continue from it at the next start"),
    Setting(
        "state_folder",
        "",
        "folder of the saved state; empty = depth_motion/NODE-ARCHITECTURE-WEIGHTS under "
        "$ROS_HOME, or ~/.ros",
    ),
    Setting(
        "save_period",
        60.0,
        "time between two saves; every release is saved, too",
        unit="s",
        minimum=1.0,
        maximum=86400.0,
    ),
    Setting(
        "replay_data",
        "",
        "recording (video, folder, bag, sim:NAME) with the rehearsal pairs, which must not be "
        "forgotten; empty = rendered pairs",
    ),
    Setting("replay_pairs", 96, "number of rehearsal pairs", unit="pairs", minimum=2, maximum=1000),
    Setting(
        "tensorboard",
        "",
        "folder for TensorBoard curves (needs tensorboard), with a folder for each node in it; "
        "empty = none",
    ),
    DIAGNOSTICS_PERIOD,
)

ADAPTATION_PARAMETERS = tuple(
    replace(parameter, changes=START) for parameter in (*_INPUT, *_NODE, *SETTINGS)
)
