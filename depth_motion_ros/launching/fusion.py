"""fusion.launch.py as data: camera and node, and the filter that owns odom -> base_link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from depth_motion_ros.launching.arguments import Argument, read_arguments
from depth_motion_ros.launching.camera import CameraPlan, full_name, plan_camera
from depth_motion_ros.launching.camera_arguments import CAMERA_ARGUMENTS
from depth_motion_ros.launching.packages import FindPrefix, require_executable
from depth_motion_ros.launching.parameter_files import parameters_of_node
from depth_motion_ros.share import config_file

FUSION_ARGUMENTS = (
    Argument(
        "ekf_params_file",
        str(config_file("ekf.yaml")),
        "parameters of robot_localization's ekf_node",
    ),
    *CAMERA_ARGUMENTS,
)
_FRAMES = ("map_frame", "odom_frame", "base_link_frame", "world_frame")


@dataclass(frozen=True)
class FusionPlan:
    """What fusion.launch.py starts. frames: the filter's, with their prefix."""

    camera: CameraPlan
    ekf_params_file: str
    frames: Mapping[str, str]


def plan_fusion(given: Mapping[str, str], find_prefix: FindPrefix) -> FusionPlan:
    """Read and check everything. Raises LaunchError as ``plan_camera`` does, and where
    robot_localization or the filter's parameters are missing."""
    camera = plan_camera(given, find_prefix, filtered=True)
    path = read_arguments(FUSION_ARGUMENTS, given)["ekf_params_file"]
    node = full_name(camera.values, "ekf_filter_node")
    parameters = parameters_of_node(path, node, "ekf_params_file")
    require_executable(find_prefix, "robot_localization", "ekf_node", "fusion.launch.py")
    prefix = camera.values["frame_prefix"]
    frames = {name: prefix + parameters[name] for name in _FRAMES if name in parameters}
    return FusionPlan(camera, path, frames if prefix else {})
