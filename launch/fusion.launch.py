"""depth_motion_node and robot_localization's EKF, which fuses its velocities and owns the TF.

ros2 launch depth_motion_ros fusion.launch.py image:=/cam/image_raw camera_info:=/cam/camera_info

The arguments of camera.launch.py hold here too; leave publish_tf of depth_motion_node false.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue

from depth_motion_ros.share import config_file, share_directory


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
