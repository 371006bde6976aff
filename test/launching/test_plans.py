"""What the launch files start, and what they refuse before anything is started; without launch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from depth_motion_ros.launching.camera import NodePlan, plan_camera
from depth_motion_ros.launching.errors import LaunchError
from depth_motion_ros.launching.fusion import plan_fusion
from depth_motion_ros.launching.processes import CANNOT_START, refusal
from depth_motion_ros.launching.replay import plan_replay

EXECUTABLES = {
    "depth_motion_ros": ("depth_motion_node", "camera_node", "adaptation_node"),
    "usb_cam": ("usb_cam_node_exe",),
    "v4l2_camera": ("v4l2_camera_node",),
    "rviz2": ("rviz2",),
    "robot_localization": ("ekf_node",),
    "ros2bag": (),
}


class Prefix:
    """An installation with all packages, or without some."""

    def __init__(self, folder: Path) -> None:
        self.missing: set[str] = set()
        self.folder = folder
        for package, names in EXECUTABLES.items():
            for name in names:
                path = folder / "lib" / package / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def __call__(self, package: str) -> str:
        if package in self.missing or package not in EXECUTABLES:
            raise LookupError(package)
        return str(self.folder)


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return Prefix(tmp_path / "install")


def params(folder: Path, node: str = "/**", **values: object) -> str:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({node: {"ros__parameters": values or {"a": 1}}}))
    return str(path)


def given(node: NodePlan) -> dict[str, Any]:
    """What the arguments give a node as parameters, files left out."""
    merged: dict[str, Any] = {}
    for parameters in node.parameters:
        if not isinstance(parameters, str):
            merged.update(parameters)
    return merged


def by_executable(nodes: tuple[NodePlan, ...]) -> Mapping[str, NodePlan]:
    return {node.executable: node for node in nodes}


def test_a_running_camera_needs_the_node_alone(prefix: Prefix) -> None:
    [node] = plan_camera({}, prefix).nodes
    assert node.executable == "depth_motion_node"
    assert given(node) == {"autostart": True}


def test_camera_info_is_looked_for_beside_the_image(prefix: Prefix) -> None:
    for image, info in (
        ("image", "camera_info"), ("/cam/image_raw", "/cam/camera_info"),
        ("cam/image", "cam/camera_info"),
    ):  # fmt: skip
        [node] = plan_camera({"image": image}, prefix).nodes
        assert ("camera_info", info) in node.remappings
    [node] = plan_camera({"image": "/cam/image", "camera_info": "/info"}, prefix).nodes
    assert ("camera_info", "/info") in node.remappings


@pytest.mark.parametrize("source", ["", "usb_cam", "clip.mp4"])
def test_jpeg_is_remapped_like_the_image(
    source: str, prefix: Prefix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").touch()
    plan = plan_camera(
        {"image": "/cam/color", "image_transport": "compressed", "source": source,
         "adaptation": "true"},
        prefix,
    )  # fmt: skip
    for node in plan.nodes:
        own = "image_raw" if node.package == "usb_cam" else "image"
        assert (f"{own}/compressed", "/cam/color/compressed") in node.remappings
    nodes = by_executable(plan.nodes)
    for name in ("depth_motion_node", "adaptation_node"):
        assert given(nodes[name])["image_transport"] == "compressed"
    if "camera_node" in nodes:
        assert given(nodes["camera_node"])["compressed"] is True


def test_the_name_of_the_jpeg_topic_itself_is_understood_or_explained(prefix: Prefix) -> None:
    topic = "/cam/image_raw/compressed"
    plan = plan_camera({"image": topic, "image_transport": "compressed"}, prefix)
    assert ("image/compressed", topic) in plan.nodes[0].remappings
    with pytest.raises(LaunchError, match="image:=/cam/image_raw and image_transport:=compressed"):
        plan_camera({"image": topic}, prefix)


def test_odometry_topics_can_be_named(prefix: Prefix) -> None:
    [node] = plan_camera({"odom": "/visual", "odom_in": "/wheels"}, prefix).nodes
    assert {("odom", "/visual"), ("odom_in", "/wheels")} <= set(node.remappings)


@pytest.mark.parametrize(
    ("arguments", "missing", "said"),
    [
        ({"rviz": "true"}, "rviz2", "rviz:=true needs the package rviz2"),
        ({"source": "usb_cam"}, "usb_cam", "source:=usb_cam needs the package usb_cam"),
        ({"source": "v4l2_camera"}, "v4l2_camera", r"sudo apt install ros-\S+-v4l2-camera"),
        ({}, "depth_motion_ros", "this launch file needs the package depth_motion_ros"),
    ],
)
def test_a_missing_package_is_refused_with_what_to_install(
    arguments: dict[str, str], missing: str, said: str, prefix: Prefix
) -> None:
    prefix.missing.add(missing)
    with pytest.raises(LaunchError, match=said):
        plan_camera(arguments, prefix)


def test_a_package_without_the_executable_is_refused(prefix: Prefix) -> None:
    (prefix.folder / "lib" / "usb_cam" / "usb_cam_node_exe").unlink()
    with pytest.raises(LaunchError, match="usb_cam_node_exe of the package usb_cam"):
        plan_camera({"source": "usb_cam"}, prefix)


@pytest.mark.parametrize(
    ("source", "hint"),
    [("usbcam", "did you mean usb_cam"), ("/nix.mp4", "drivers are"), ("/dev/video99", "no such")],
)
def test_a_source_that_is_not_there_is_refused(source: str, hint: str, prefix: Prefix) -> None:
    with pytest.raises(LaunchError, match=hint):
        plan_camera({"source": source}, prefix)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("params_file", "/nix.yaml", "no such file"),
        ("adaptation_params_file", "/nix.yaml", "no such file"),
        ("camera_params_file", "/nix.yaml", "no such file"),
        ("weights", "/nix.safetensors", "no such file"),
        ("adaptation", "yes", "must be true or false"),
        ("autostart", "maybe", "must be true or false"),
        ("log_level", "loud", "must be one of debug"),
        ("namespace", "robot 1", "must be words"),
        ("rate", "fast", "must be a number"),
        ("sigterm_timeout", "long", "must be a number"),
    ],
)
def test_a_bad_value_is_refused_with_its_argument(
    name: str, value: str, said: str, prefix: Prefix
) -> None:
    arguments = {"source": "sim:yard", "adaptation": "true", name: value}
    with pytest.raises(LaunchError, match=f"{name}:={value}: .*{said}"):
        plan_camera(arguments, prefix)


def test_a_params_file_of_another_namespace_is_refused(prefix: Prefix, tmp_path: Path) -> None:
    path = params(tmp_path, "/back/depth_motion")
    assert plan_camera({"params_file": path, "namespace": "back"}, prefix).node == (
        "/back/depth_motion"
    )
    with pytest.raises(
        LaunchError, match="is for back/depth_motion, and so has nothing for /front"
    ):
        plan_camera({"params_file": path, "namespace": "front"}, prefix)


@pytest.mark.parametrize(
    ("name", "value"),
    [("loop", "true"), ("rate", "5"), ("camera_info_url", "c.yaml"), ("camera_params_file", "c")],
)
def test_what_is_for_a_camera_needs_one(name: str, value: str, prefix: Prefix) -> None:
    with pytest.raises(LaunchError, match=f"{name}:= .*give source:="):
        plan_camera({name: value}, prefix)


@pytest.mark.parametrize("name", ["loop", "rate"])
def test_a_driver_has_no_loop_and_no_rate(name: str, prefix: Prefix) -> None:
    value = "true" if name == "loop" else "5"
    with pytest.raises(LaunchError, match="camera_params_file:="):
        plan_camera({"source": "usb_cam", name: value}, prefix)


def test_a_recorded_source_takes_loop_rate_and_calibration(prefix: Prefix, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    plan = plan_camera(
        {"source": str(tmp_path / "1"), "loop": "true", "rate": "5", "camera_info_url": "c.yaml"},
        prefix,
    )
    camera = given(by_executable(plan.nodes)["camera_node"])
    assert camera["source"] == str(tmp_path / "1")
    assert (camera["loop"], camera["rate"]) == (True, 5.0)
    assert camera["camera_info_url"] == "c.yaml"


def test_a_drivers_file_comes_after_our_defaults_and_before_arguments(
    prefix: Prefix, tmp_path: Path
) -> None:
    path = params(tmp_path, "camera", camera_frame_id="mine")
    plan = plan_camera(
        {"source": "v4l2_camera", "camera_params_file": path, "camera_info_url": "file:///c.yaml"},
        prefix,
    )
    assert by_executable(plan.nodes)["v4l2_camera_node"].parameters == (
        {"camera_frame_id": "camera_optical_frame"}, path, {"camera_info_url": "file:///c.yaml"},
    )  # fmt: skip


def test_respawn_is_for_everything_but_what_ends_by_itself(prefix: Prefix) -> None:
    arguments = {"respawn": "true", "adaptation": "true"}
    for source, executable in (("sim:yard", "camera_node"), ("usb_cam", "usb_cam_node_exe")):
        nodes = by_executable(plan_camera({**arguments, "source": source}, prefix).nodes)
        assert nodes["depth_motion_node"].respawn
        assert nodes["adaptation_node"].respawn
        assert nodes[executable].respawn == (source == "usb_cam")


def test_two_robots_have_frames_of_their_own(prefix: Prefix, tmp_path: Path) -> None:
    path = params(tmp_path, base_frame="base_footprint")
    arguments = {"frame_prefix": "r1/", "params_file": path, "source": "sim:yard", "rviz": "true"}
    nodes = by_executable(plan_camera(arguments, prefix).nodes)
    own = given(nodes["depth_motion_node"])
    assert (own["odom_frame"], own["base_frame"]) == ("r1/odom", "r1/base_footprint")
    assert given(nodes["camera_node"])["frame_id"] == "r1/camera_optical_frame"
    assert nodes["rviz2"].arguments[-2:] == ("-f", "r1/odom")
    filtered = plan_fusion(arguments, prefix)
    assert filtered.frames == {
        "odom_frame": "r1/odom", "base_link_frame": "r1/base_link", "world_frame": "r1/odom",
    }  # fmt: skip


# TF: who sends what.


def transforms(plan: Any) -> tuple[Any, Any]:
    own = given(by_executable(plan.nodes)["depth_motion_node"])
    return own.get("publish_tf"), own.get("publish_camera_tf")


def test_without_a_wish_the_file_says_what_is_sent(prefix: Prefix) -> None:
    assert transforms(plan_camera({}, prefix)) == (None, None)


def test_rviz_finds_its_frames_where_nobody_else_is_known_to_send_them(
    prefix: Prefix, tmp_path: Path
) -> None:
    assert transforms(plan_camera({"rviz": "true"}, prefix)) == (True, True)
    # Somebody's own parameters say who owns what on their robot.
    arguments = {"rviz": "true", "params_file": params(tmp_path)}
    assert transforms(plan_camera(arguments, prefix)) == (None, None)
    assert transforms(plan_fusion({"rviz": "true"}, prefix).camera) == (False, True)


def test_arguments_say_what_is_sent(prefix: Prefix) -> None:
    arguments = {"publish_tf": "true", "publish_camera_tf": "false"}
    assert transforms(plan_camera(arguments, prefix)) == (True, False)
    assert transforms(plan_camera({"rviz": "true", **arguments}, prefix)) == (True, False)


def test_tf_is_not_told_what_it_is_asked_for(prefix: Prefix, tmp_path: Path) -> None:
    path = params(tmp_path, use_tf_extrinsic=True)
    with pytest.raises(LaunchError, match=r"publish_camera_tf:=true, but .* use_tf_extrinsic"):
        plan_camera({"params_file": path, "publish_camera_tf": "true"}, prefix)


@pytest.mark.parametrize(
    "document",
    [
        {"/**": {"ros__parameters": {"publish_tf": True}}},
        {"robot1": {"depth_motion": {"ros__parameters": {"publish_tf": True}}}},
        {"/robot1/depth_motion": {"ros__parameters": {"publish_tf": True}}},
    ],
)
def test_two_owners_of_a_transform_are_refused_however_the_file_is_nested(
    document: object, prefix: Prefix, tmp_path: Path
) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(LaunchError, match="ekf_node sends it here, too"):
        plan_fusion({"params_file": str(path), "namespace": "robot1"}, prefix)
    with pytest.raises(LaunchError, match="publish_tf:=true lets"):
        plan_fusion({"publish_tf": "true"}, prefix)


def test_publish_tf_of_another_node_in_the_file_is_its_own(prefix: Prefix, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    document = {
        "depth_motion": {"ros__parameters": {"publish_tf": False}},
        "ekf_filter_node": {"ros__parameters": {"publish_tf": True}},
    }
    path.write_text(yaml.safe_dump(document))
    plan_fusion({"params_file": str(path), "ekf_params_file": str(path)}, prefix)


def test_the_filter_needs_its_package_and_its_parameters(prefix: Prefix) -> None:
    with pytest.raises(LaunchError, match=r"ekf_params_file:=/nix\.yaml"):
        plan_fusion({"ekf_params_file": "/nix.yaml"}, prefix)
    prefix.missing.add("robot_localization")
    with pytest.raises(LaunchError, match="needs the package robot_localization"):
        plan_fusion({}, prefix)


# Replay.


@pytest.fixture
def bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata of a recording of a robot, and a ros2 on the PATH."""
    folder = tmp_path / "drive"
    folder.mkdir()
    kinds = {
        "/cam/image_raw": "sensor_msgs/msg/Image",
        "/cam/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
        "/odom": "nav_msgs/msg/Odometry",
    }
    topics = [
        {"topic_metadata": {"name": name, "type": kind}, "message_count": 10}
        for name, kind in kinds.items()
    ]
    document = {"rosbag2_bagfile_information": {"topics_with_message_count": topics}}
    (folder / "metadata.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/ros/bin/{name}")
    return folder


def test_the_player_plays_with_its_clock_and_leaves_time_to_find_it(
    bag: Path, prefix: Prefix
) -> None:
    arguments = {
        "bag": str(bag), "image": "/cam/image_raw", "topics": "/cam/image_raw", "loop": "true",
        "rate": "2.0",
    }  # fmt: skip
    command = plan_replay(arguments, prefix).command
    assert command[:4] == ("ros2", "bag", "play", str(bag))
    words = " ".join(command[4:])
    assert words == "--clock 100 --delay 2 --rate 2 --loop --topics /cam/image_raw"


def test_rate_and_loop_are_those_of_the_player_and_not_of_a_camera(
    bag: Path, prefix: Prefix
) -> None:
    arguments = {"bag": str(bag), "image": "/cam/image_raw", "odom": "/visual_odom"}
    plan = plan_replay({**arguments, "rate": "0.5", "loop": "true"}, prefix)
    assert [node.executable for node in plan.camera.nodes] == ["depth_motion_node"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "the bag plays no sensor_msgs/msg/Image on /image, .* give image:=/cam/image_raw"),
        ({"image": "/cam/image_raw"}, "the bag plays /odom, where .* odom:=/visual_odom"),
        (
            {"image": "/cam/image_raw", "topics": "/cam/img"},
            "topics:= names /cam/img, but .* holds",
        ),
        ({"topics": "/odom"}, "the bag plays no images at all, but /odom"),
        ({"namespace": "r1", "image": "cam/image_raw"}, "on /r1/cam/image_raw"),
        ({"bag": "/nix"}, "bag:=/nix: there is no such file or folder"),
        ({"rate": "0"}, "rate:=0: must be a number above 0"),
    ],
)
def test_a_bag_that_would_play_to_nobody_or_against_us_is_refused(
    arguments: dict[str, str], said: str, bag: Path, prefix: Prefix
) -> None:
    with pytest.raises(LaunchError, match=said):
        plan_replay({"bag": str(bag), **arguments}, prefix)


def test_a_bag_with_an_odometry_is_played_under_another_name_of_ours(
    bag: Path, prefix: Prefix
) -> None:
    for more in ({"odom": "/visual_odom"}, {"topics": "/cam/image_raw"}, {"namespace": "r1"}):
        plan_replay({"bag": str(bag), "image": "/cam/image_raw", **more}, prefix)


def test_jpeg_in_a_bag_is_found_by_its_transport(bag: Path, prefix: Prefix) -> None:
    arguments = {"bag": str(bag), "image": "/cam/image_raw", "odom": "/visual_odom"}
    plan_replay({**arguments, "image_transport": "compressed"}, prefix)
    with pytest.raises(LaunchError, match="image:=/cam/image_raw image_transport:=compressed"):
        plan_replay({**arguments, "image": "/other", "topics": "/cam/image_raw/compressed"}, prefix)


def test_without_the_player_a_sentence_says_so(
    bag: Path, prefix: Prefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"bag": str(bag), "image": "/cam/image_raw", "odom": "/visual_odom"}
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(LaunchError, match="no ros2 on the PATH"):
        plan_replay(arguments, prefix)
    prefix.missing.add("ros2bag")
    with pytest.raises(LaunchError, match=r"`ros2 bag play`\) needs the package ros2bag"):
        plan_replay(arguments, prefix)


def test_only_a_node_that_could_not_start_ends_the_launch() -> None:
    error = refusal("camera_node-2", CANNOT_START)
    assert error is not None
    assert "camera_node-2 cannot start" in str(error)
    assert [refusal("x", status) for status in (0, 1, -2, -6, -15)] == [None] * 5
