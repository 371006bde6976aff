"""depth_motion_node on a recorded bag, in the bag's own time.

ros2 launch depth_motion_ros replay.launch.py bag:=drive image:=/cam/image_raw
ros2 launch depth_motion_ros replay.launch.py bag:=drive image:=/cam/image_raw \
    odom:=/visual_odom odom_in:=/odom

The player starts when the node has become active, and the launch ends with the bag. The arguments
of camera.launch.py hold here too, but for those of a camera.
"""

import sys

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource

from depth_motion_ros.launching.arguments import refuse_unknown_arguments
from depth_motion_ros.launching.errors import LaunchError
from depth_motion_ros.launching.replay import REPLAY_ARGUMENTS, ReplayPlan, plan_replay
from depth_motion_ros.share import share_directory


def end_with_the_bag(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
    """Raises LaunchError, so that the launch ends with status 1, where the player has failed."""
    if event.returncode and not context.is_shutdown:
        raise LaunchError(f"ros2 bag play ended with status {event.returncode}")
    return [Shutdown(reason="bag ended")]


def playing(plan: ReplayPlan) -> list[LaunchDescriptionEntity]:
    """What waits for the node, and then plays."""
    player = ExecuteProcess(cmd=list(plan.command), output="screen", on_exit=end_with_the_bag)

    def play(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if context.is_shutdown:
            return []
        if event.returncode:
            raise LaunchError(f"cannot wait for {plan.camera.node}; the last line says why")
        return [player]

    # Not by the node's transition events: one that comes before this process has found the node is
    # never heard of, and the bag would never be played.
    return [ExecuteProcess(cmd=[sys.executable, *plan.waiting], output="screen", on_exit=play)]


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Node and player; LaunchError, and none of them, where one cannot start."""
    refuse_unknown_arguments(__file__, REPLAY_ARGUMENTS)
    plan = plan_replay(context.launch_configurations, get_package_prefix)
    camera = str(share_directory() / "launch" / "camera.launch.py")
    return [
        *playing(plan),
        GroupAction(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(camera),
                    # There rate and loop are those of a camera.
                    launch_arguments=[("use_sim_time", "true"), ("rate", ""), ("loop", "false")],
                )
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
                for argument in REPLAY_ARGUMENTS
            ),
            OpaqueFunction(function=start),
        ]
    )
