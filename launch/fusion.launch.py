"""depth_motion_node and robot_localization's EKF, which fuses its velocities and owns the TF.

ros2 launch depth_motion_ros fusion.launch.py image:=/cam/image_raw

The arguments of camera.launch.py hold here too. The filter owns odom -> base_link: parameters that
let depth_motion_node send it as well are refused. What the filter fuses: config/ekf.yaml; remap
wheel_odom and imu in your own launch file.
"""

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node, PushRosNamespace

from depth_motion_ros.launching.arguments import refuse_unknown_arguments
from depth_motion_ros.launching.fusion import FUSION_ARGUMENTS, plan_fusion
from depth_motion_ros.share import share_directory


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Camera, node and filter; LaunchError, and none of them, where one cannot start."""
    refuse_unknown_arguments(__file__, FUSION_ARGUMENTS)
    plan = plan_fusion(context.launch_configurations, get_package_prefix)
    values = plan.camera.values
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(share_directory() / "launch" / "camera.launch.py")),
            launch_arguments=[("publish_tf", "false")],
        ),
        GroupAction(
            [
                PushRosNamespace(values["namespace"]),
                Node(
                    package="robot_localization",
                    executable="ekf_node",
                    name="ekf_filter_node",
                    parameters=[
                        plan.ekf_params_file,
                        {"use_sim_time": values["use_sim_time"], **plan.frames},
                    ],
                    remappings=[("odom", values["odom"])],
                    ros_arguments=["--log-level", values["log_level"]],
                    respawn=values["respawn"],
                    output="screen",
                ),
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
                for argument in FUSION_ARGUMENTS
            ),
            OpaqueFunction(function=start),
        ]
    )
