"""depth_motion_node on a recorded bag, in the bag's own time.

ros2 launch depth_motion_ros replay.launch.py bag:=drive image:=/cam/image_raw
ros2 launch depth_motion_ros replay.launch.py bag:=drive image:=/cam/image_raw \
    odom:=/visual_odom odom_in:=/odom

The player starts when the node has become active, and the launch ends with the bag. The arguments
of camera.launch.py hold here too, but for those of a camera.
"""

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import StateTransition

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
    """What waits for the node, and plays then."""

    def activated(event: object) -> bool:
        return isinstance(event, StateTransition) and event.goal_state == "active"

    player = ExecuteProcess(cmd=list(plan.command), output="screen", on_exit=end_with_the_bag)
    return [
        LogInfo(msg=f"{plan.camera.node} is to become active; then {plan.command[3]} is played"),
        RegisterEventHandler(
            OnStateTransition(matcher=activated, entities=[player], handle_once=True)
        ),
    ]


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
