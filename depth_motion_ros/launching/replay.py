"""replay.launch.py as data: depth_motion_node, and the player of a bag."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from depth_motion_ros.launching.arguments import BOOLEAN, NUMBER, Argument, read_arguments
from depth_motion_ros.launching.camera import CameraPlan, plan_camera, resolve_topic
from depth_motion_ros.launching.camera_arguments import CAMERA_ARGUMENTS, COMPRESSED
from depth_motion_ros.launching.errors import LaunchError
from depth_motion_ros.launching.packages import FindPrefix, require_package

WAIT = "depth_motion_ros.nodes.tools.wait_until_active"
CLOCK_HZ = "100"
# s. Between its publishers and its first message, so that subscribers have found them.
DELAY = "2"

# Of a camera, which a bag replaces; rate and loop are here those of the player.
_OF_A_CAMERA = ("source", "camera_params_file", "camera_info_url", "rate", "loop", "use_sim_time")
REPLAY_ARGUMENTS = (
    Argument("bag", None, "folder or file of the recording"),
    Argument("rate", "1.0", "speed of the playback", NUMBER),
    Argument("loop", "false", "begin anew at the end, instead of shutting down", BOOLEAN),
    Argument(
        "topics",
        "",
        "what to play, separated by spaces; empty = everything. Name the inputs where the bag "
        "also holds odom or /tf of an earlier run",
    ),
    *(argument for argument in CAMERA_ARGUMENTS if argument.name not in _OF_A_CAMERA),
)


@dataclass(frozen=True)
class ReplayPlan:
    """What replay.launch.py starts. waiting: arguments of a Python that ends when the node is
    active. command: the player's."""

    camera: CameraPlan
    waiting: tuple[str, ...]
    command: tuple[str, ...]


def plan_replay(given: Mapping[str, str], find_prefix: FindPrefix) -> ReplayPlan:
    """Read and check everything. Raises LaunchError as ``plan_camera`` does, and where the bag
    cannot be played, does not hold what the node is to hear, or holds what it publishes."""
    values = read_arguments(REPLAY_ARGUMENTS, given)
    rest = {name: text for name, text in given.items() if name not in _OF_A_CAMERA}
    camera = plan_camera(rest, find_prefix)
    if not Path(values["bag"]).expanduser().exists():
        raise LaunchError(f"bag:={values['bag']}: there is no such file or folder")
    require_package(find_prefix, "ros2bag", "replay.launch.py (`ros2 bag play`)")
    if shutil.which("ros2") is None:
        raise LaunchError("replay.launch.py runs `ros2 bag play`, but there is no ros2 on the PATH")
    _check_topics(values, camera)
    command = ["ros2", "bag", "play", str(Path(values["bag"]).expanduser())]
    command += ["--clock", CLOCK_HZ, "--delay", DELAY, "--rate", f"{values['rate'] or 1.0:g}"]
    if values["loop"]:
        command.append("--loop")
    if values["topics"]:
        command += ["--topics", *values["topics"].split()]
    return ReplayPlan(camera, ("-m", WAIT, camera.node), tuple(command))


def _check_topics(values: Mapping[str, Any], camera: CameraPlan) -> None:
    """Of a bag whose metadata.yaml can be read; another one is the player's affair."""
    recorded = recorded_topics(values["bag"])
    if not recorded:
        return
    asked = values["topics"].split()
    missing = [topic for topic in asked if topic not in recorded]
    if missing:
        raise LaunchError(
            f"topics:= names {', '.join(missing)}, but the bag holds {', '.join(recorded)}"
        )
    played = {topic: kind for topic, kind in recorded.items() if not asked or topic in asked}
    image = resolve_topic(camera.values, camera.values["image"])
    wanted = "sensor_msgs/msg/Image"
    if camera.parameters.get("image_transport") == COMPRESSED:
        image, wanted = f"{image}/{COMPRESSED}", "sensor_msgs/msg/CompressedImage"
    if played.get(image) != wanted:
        raise LaunchError(_no_image(image, wanted, played))
    odom = resolve_topic(camera.values, camera.values["odom"])
    if odom in played:
        raise LaunchError(
            f"the bag plays {odom}, where depth_motion_node publishes its odometry, too: give "
            f"odom:=/visual_odom (and odom_in:={odom} to take the scale from the recorded one), or "
            "name what to play in topics:="
        )


def _no_image(image: str, wanted: str, played: Mapping[str, str]) -> str:
    there = [
        topic
        for topic, kind in played.items()
        if kind in ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
    ]
    if not there:
        return f"the bag plays no images at all, but {', '.join(played)}"
    suffix = f"/{COMPRESSED}"
    cures = [
        f"image:={topic.removesuffix(suffix)} image_transport:=compressed"
        if played[topic].endswith("CompressedImage")
        else f"image:={topic} image_transport:=raw"
        for topic in there
        if not played[topic].endswith("CompressedImage") or topic.endswith(suffix)
    ]
    cure = " or ".join(cures) or "remap in your own launch file"
    return f"the bag plays no {wanted} on {image}, which the node hears: give {cure}"


def recorded_topics(bag: str) -> dict[str, str]:
    """Topic to type of a rosbag2 folder; empty where its metadata.yaml does not say it."""
    path = Path(bag).expanduser()
    try:
        text = (path / "metadata.yaml").read_text(encoding="utf-8")
        entries = yaml.safe_load(text)["rosbag2_bagfile_information"]["topics_with_message_count"]
        found = [(entry["topic_metadata"], entry["message_count"]) for entry in entries]
        return {about["name"]: about["type"] for about, count in found if count}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return {}
