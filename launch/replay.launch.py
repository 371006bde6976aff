"""depth_motion_node on a recorded bag, in the bag's own time.

ros2 launch depth_motion_ros replay.launch.py bag:=drive image:=/cam/image_raw \
    camera_info:=/cam/camera_info topics:='/cam/image_raw /cam/camera_info'

The arguments of camera.launch.py hold here too.
"""

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from depth_motion_ros.share import share_directory

CLOCK_HZ = "100"

ARGUMENTS = (
    ("bag", None, "folder or file of the recording"),
    ("rate", "1.0", "speed of the playback"),
    ("loop", "false", "begin anew at the end, instead of shutting down"),
    (
        "topics",
        "",
        "what to play, separated by spaces; empty = everything. Name the inputs where the bag "
        "also holds odom or /tf of an earlier run",
    ),
)


def play(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """ros2 bag play, and the end of everything with it."""
    value = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    command = ["ros2", "bag", "play", value["bag"], "--clock", CLOCK_HZ, "--rate", value["rate"]]
    if value["loop"].lower() in ("true", "1"):
        command.append("--loop")
    if value["topics"]:
        command += ["--topics", *value["topics"].split()]
    return [ExecuteProcess(cmd=command, output="screen", on_exit=Shutdown(reason="bag ended"))]


def generate_launch_description() -> LaunchDescription:
    camera = str(share_directory() / "launch" / "camera.launch.py")
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in ARGUMENTS
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(camera),
                launch_arguments={"use_sim_time": "true"}.items(),
            ),
            OpaqueFunction(function=play),
        ]
    )
