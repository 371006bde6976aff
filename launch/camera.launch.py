"""depth_motion_node on a camera: one that runs already, or one that this file starts.

ros2 launch depth_motion_ros camera.launch.py image:=/cam/image_raw camera_info:=/cam/camera_info
ros2 launch depth_motion_ros camera.launch.py source:=usb_cam rviz:=true
ros2 launch depth_motion_ros camera.launch.py source:=/path/to/video.mp4
ros2 launch depth_motion_ros camera.launch.py image:=/cam/image_raw camera_info:=/cam/camera_info \
    adaptation:=true weights:=/path/to/net.safetensors
"""

import os

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue

from depth_motion_ros.share import config_file, transport_environment

# Camera drivers by the name of their package: executable, and their parameter for the frame.
DRIVERS = {
    "usb_cam": ("usb_cam_node_exe", "frame_id"),
    "v4l2_camera": ("v4l2_camera_node", "camera_frame_id"),
}
OPTICAL_FRAME = "camera_optical_frame"
INPUTS = (
    ("image", LaunchConfiguration("image")),
    ("camera_info", LaunchConfiguration("camera_info")),
)

ARGUMENTS = (
    ("namespace", "", "namespace of all nodes"),
    ("image", "image", "topic of the images; a namespace applies to relative names"),
    ("camera_info", "camera_info", "topic of their CameraInfo"),
    ("params_file", str(config_file("depth_motion.yaml")), "parameters of depth_motion_node"),
    (
        "weights",
        "",
        "weights file of depth_motion_node and adaptation_node; empty = as their parameters say",
    ),
    ("adaptation", "false", "also start adaptation_node, which goes on learning on the robot"),
    (
        "adaptation_params_file",
        str(config_file("adaptation.yaml")),
        "parameters of adaptation_node",
    ),
    (
        "source",
        "",
        "also start a camera: usb_cam, v4l2_camera, or what our camera_node plays (a video, a "
        "folder, a bag, sim:NAME, /dev/videoN); empty = one runs already",
    ),
    ("rviz", "false", "start RViz with a view of all outputs"),
    ("autostart", "true", "configure and activate depth_motion_node"),
    ("use_sim_time", "false", "take the time from /clock"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
)


def given_weights(context: LaunchContext) -> list[dict[str, ParameterValue]]:
    """The parameter ``weights``, where the argument says it."""
    path = LaunchConfiguration("weights").perform(context)
    return [{"weights": ParameterValue(path, value_type=str)}] if path else []


def perception(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """depth_motion_node, and beside it adaptation_node where it is asked for."""
    autostart = ParameterValue(LaunchConfiguration("autostart"), value_type=bool)
    weights = given_weights(context)

    def node(name: str, file: str, *parameters: dict[str, ParameterValue]) -> Node:
        return Node(
            package="depth_motion_ros",
            executable=f"{name}_node",
            name=name,
            parameters=[LaunchConfiguration(file), *parameters, *weights],
            remappings=INPUTS,
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )

    nodes = [node("depth_motion", "params_file", {"autostart": autostart})]
    if LaunchConfiguration("adaptation").perform(context).lower() in ("true", "1"):
        nodes.append(node("adaptation", "adaptation_params_file"))
    return nodes


def camera(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node that publishes the images, if one is to be started."""
    source = LaunchConfiguration("source").perform(context)
    if not source:
        return []
    image, info = LaunchConfiguration("image"), LaunchConfiguration("camera_info")
    if source in DRIVERS:
        executable, frame = DRIVERS[source]
        return [
            Node(
                package=source,
                executable=executable,
                name="camera",
                parameters=[{frame: OPTICAL_FRAME}],
                remappings=[("image_raw", image), ("camera_info", info)],
                output="screen",
            )
        ]
    return [
        Node(
            package="depth_motion_ros",
            executable="camera_node",
            name="camera",
            parameters=[
                {
                    # As a string, even where it reads like a number in YAML.
                    "source": ParameterValue(source, value_type=str),
                    # Like a camera: with the time of now, and nothing shown before anyone looks.
                    "stamps": "now",
                    "wait_for_subscribers": 1,
                }
            ],
            remappings=[("image", image), ("camera_info", info)],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in ARGUMENTS
            ),
            # Without these Fast DDS loses images that are larger than its shared memory.
            *(
                SetEnvironmentVariable(name, value)
                for name, value in transport_environment(os.environ).items()
            ),
            GroupAction(
                [
                    PushRosNamespace(LaunchConfiguration("namespace")),
                    SetParameter("use_sim_time", sim_time),
                    OpaqueFunction(function=perception),
                    OpaqueFunction(function=camera),
                    Node(
                        package="rviz2",
                        executable="rviz2",
                        arguments=["-d", str(config_file("depth_motion.rviz"))],
                        remappings=INPUTS,
                        condition=IfCondition(LaunchConfiguration("rviz")),
                    ),
                ]
            ),
        ]
    )
