"""depth_motion_node and robot_localization's EKF, which fuses its velocities and owns the TF.

ros2 launch depth_motion_ros fusion.launch.py image:=/cam/image_raw camera_info:=/cam/camera_info

The arguments of camera.launch.py hold here too. The filter owns odom -> base_link: a params_file
that lets depth_motion_node send it as well is refused. What the filter fuses: config/ekf.yaml;
remap wheel_odom and imu in your own launch file.
"""

from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue

from depth_motion_ros.share import config_file, share_directory


def refuse_two_owners(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Raises RuntimeError where the parameters make the node send odom -> base_link, too."""
    path = LaunchConfiguration("params_file").perform(context)
    document = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    for node, values in document.items():
        if (values or {}).get("ros__parameters", {}).get("publish_tf"):
            raise RuntimeError(
                f"{path}: publish_tf of {node} is true, but ekf_node sends odom -> base_link here; "
                "set it to false, or start camera.launch.py without the filter"
            )
    return []


def generate_launch_description() -> LaunchDescription:
    camera = str(share_directory() / "launch" / "camera.launch.py")
    sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "ekf_params_file",
                default_value=str(config_file("ekf.yaml")),
                description="parameters of robot_localization's ekf_node",
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(camera)),
            OpaqueFunction(function=refuse_two_owners),
            GroupAction(
                [
                    PushRosNamespace(LaunchConfiguration("namespace")),
                    Node(
                        package="robot_localization",
                        executable="ekf_node",
                        name="ekf_filter_node",
                        parameters=[
                            LaunchConfiguration("ekf_params_file"),
                            {"use_sim_time": sim_time},
                        ],
                        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
                        output="screen",
                    ),
                ]
            ),
        ]
    )
