"""depth_motion_node on a camera: one that runs already, or one that this file starts.

ros2 launch depth_motion_ros camera.launch.py image:=/cam/image_raw
ros2 launch depth_motion_ros camera.launch.py source:=usb_cam rviz:=true
ros2 launch depth_motion_ros camera.launch.py source:=/path/to/video.mp4 loop:=true
ros2 launch depth_motion_ros camera.launch.py image:=/cam/image_raw image_transport:=compressed
ros2 launch depth_motion_ros camera.launch.py image:=/cam/image_raw adaptation:=true \
    weights:=/path/to/net.safetensors

Everything that an argument asks for is checked before anything is started.
"""

import os
from typing import Any

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.events.process import ProcessExited
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue

from depth_motion_ros.launching.arguments import refuse_unknown_arguments
from depth_motion_ros.launching.camera import NodePlan, Parameters, plan_camera
from depth_motion_ros.launching.camera_arguments import CAMERA_ARGUMENTS
from depth_motion_ros.launching.processes import refusal
from depth_motion_ros.share import transport_environment


def end_with_a_refusal(event: ProcessExited, context: LaunchContext) -> None:
    """Raises LaunchError, which ends the launch with status 1, where a node took no parameters."""
    problem = refusal(event.process_name, event.returncode)
    if problem is not None and not context.is_shutdown:
        raise problem


def typed(parameters: Parameters) -> Any:
    """For launch_ros, which else reads text as YAML: a source called 1 stays text."""
    if isinstance(parameters, str):
        return parameters
    return {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in parameters.items()
    }


def node(plan: NodePlan) -> Node:
    """The action that starts a node."""
    options: dict[str, Any] = {}
    if plan.name:
        options["name"] = plan.name
    if plan.log_level:
        options["ros_arguments"] = ["--log-level", plan.log_level]
    if plan.is_ours:
        options["on_exit"] = end_with_a_refusal
    return Node(
        package=plan.package,
        executable=plan.executable,
        parameters=[typed(parameters) for parameters in plan.parameters],
        remappings=plan.remappings,
        arguments=list(plan.arguments),
        respawn=plan.respawn,
        respawn_delay=2.0,
        output="screen",
        **options,
    )


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Every node that is asked for; LaunchError, and none of them, where one cannot start."""
    refuse_unknown_arguments(__file__, CAMERA_ARGUMENTS)
    plan = plan_camera(context.launch_configurations, get_package_prefix)
    return [
        # Without these Fast DDS loses images that are larger than its shared memory.
        *(
            SetEnvironmentVariable(name, value)
            for name, value in transport_environment(os.environ).items()
        ),
        GroupAction(
            [
                PushRosNamespace(plan.values["namespace"]),
                SetParameter("use_sim_time", plan.values["use_sim_time"]),
                *map(node, plan.nodes),
            ]
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    argument.name, default_value=argument.default, description=argument.description
                )
                for argument in CAMERA_ARGUMENTS
            ),
            OpaqueFunction(function=start),
        ]
    )
