"""camera_node, in its own process, heard over DDS."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from support.bag_recorder import MS, START, Recorder, picture, record

from depth_motion_ros.nodes.ros.conversions import compressed_to_rgb, image_to_rgb
from depth_motion_ros.nodes.ros.messages import stamp_from_message

if TYPE_CHECKING:
    from support.ros_harness import Ros

pytest_plugins = ["support.ros_harness"]

FRAMES, WIDTH, HEIGHT = 8, 64, 48
# Seconds as they come from a camera: uneven, with every digit that a double keeps.
STAMPS = [1700000000.125 + 0.033 * index + 0.0005 * (index % 3) for index in range(FRAMES)]
DATA = Path(os.environ.get("DEPTH_MOTION_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence folder whose frame n is of gray value 20 n."""
    folder = tmp_path_factory.mktemp("sequence")
    (folder / "image").mkdir()
    for index in range(FRAMES):
        pixels = np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)
        cv2.imwrite(str(folder / "image" / f"{index:06d}.png"), pixels)
    K = [[60.0, 0.0, 31.5], [0.0, 61.0, 23.5], [0.0, 0.0, 1.0]]
    (folder / "intrinsics.json").write_text(json.dumps({"width": WIDTH, "height": HEIGHT, "K": K}))
    (folder / "timestamps.txt").write_text("".join(f"{stamp:.6f}\n" for stamp in STAMPS))
    poses = [f"1 0 0 0 0 1 0 0 0 0 1 {0.5 * index}\n" for index in range(FRAMES)]
    (folder / "poses.txt").write_text("".join(poses))
    return folder


def stamps_of(received: list) -> list[int]:
    return [stamp_from_message(message.header.stamp) for message in received]


def test_a_whole_sequence_arrives_as_a_camera(ros: Ros, sequence: Path) -> None:
    """Every frame, stamp, size and camera, in a namespace, remapped; then the node ends well."""
    images = ros.listen(Image, "/robot/front/image_rect")
    infos = ros.listen(CameraInfo, "/robot/camera_info")
    jpegs = ros.listen(CompressedImage, "/robot/image/compressed")
    poses = ros.listen(Odometry, "/robot/pose_truth")
    camera = ros.start(
        "camera_node",
        {
            "source": sequence, "wait_for_subscribers": 1, "frame_id": "front_optical",
            "compressed": True, "publish_truth": True,
        },
        ("-r", "__ns:=/robot", "-r", "image:=front/image_rect"),
    )  # fmt: skip
    assert camera.wait() == 0, camera.log
    ros.wait(lambda: len(images) == FRAMES and len(infos) == FRAMES, "every frame")

    expected = [round(stamp * 1e6) * 1000 for stamp in STAMPS]
    assert stamps_of(images) == expected
    assert stamps_of(infos) == expected
    for index, image in enumerate(images):
        assert (image.encoding, image.width, image.height) == ("rgb8", WIDTH, HEIGHT)
        assert image.header.frame_id == "front_optical"
        assert (image_to_rgb(image) == 20 * index).all()
    assert infos[0].header.frame_id == "front_optical"
    assert infos[0].k[0] == 60.0
    assert (infos[0].width, infos[0].height) == (WIDTH, HEIGHT)
    assert set(stamps_of(jpegs)) <= set(expected)
    assert (compressed_to_rgb(jpegs[-1]) == compressed_to_rgb(jpegs[-1])[0, 0]).all()
    assert poses[-1].pose.pose.position.z == 0.5 * (FRAMES - 1)
    assert "ended after 8 frames" in camera.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_endless_loop_ends_cleanly_on_a_signal(
    ros: Ros, sequence: Path, number: signal.Signals
) -> None:
    """Best effort, at its own rate, stamped with the time of publishing."""
    topic = f"/{number.name.lower()}/image"
    images = ros.listen(Image, topic, reliable=False)
    camera = ros.start(
        "camera_node",
        {"source": sequence, "loop": True, "reliable": False, "rate": 50.0, "stamps": "now"},
        ("-r", f"__ns:=/{number.name.lower()}"),
    )
    ros.wait(lambda: len(images) > 2 * FRAMES, "the loop to begin anew twice")
    infos = ros.node.get_publishers_info_by_topic(topic)
    assert infos[0].qos_profile.reliability.name == "BEST_EFFORT"
    assert camera.end(number) == 0, camera.log
    assert "Traceback" not in camera.log
    assert "Failed to" not in camera.log
    stamps = stamps_of(images)
    assert sorted(stamps) == stamps


def test_a_camera_without_a_source_says_what_it_needs(ros: Ros, tmp_path: Path) -> None:
    missing = ros.start("camera_node", {"source": tmp_path / "none.mp4"})
    unset = ros.start("camera_node")
    assert missing.wait() == 2
    assert "none.mp4: no such file" in missing.log
    assert unset.wait() == 2
    assert "source is empty" in unset.log
    assert "Traceback" not in missing.log + unset.log


def test_a_rectified_bag_is_published_with_p_and_without_distortion(
    ros: Ros, tmp_path: Path
) -> None:
    """Under a name that does not say so: the parameter does."""
    projection = (40.0, 0.0, 30.0, 0.0, 0.0, 41.0, 22.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    def script(recorder: Recorder) -> None:
        for index in range(3):
            recorder.info("/cam/camera_info", START + 10 * index * MS, p=projection)
            recorder.image("/cam/undone", START + 10 * index * MS, picture(index))

    bag = record(tmp_path / "a", "mcap", script)
    infos = ros.listen(CameraInfo, "/undone/camera_info")
    camera = ros.start(
        "camera_node",
        {"source": bag, "rectified": True, "loop": True},
        ("-r", "__ns:=/undone"),
    )
    ros.wait(lambda: infos, "a CameraInfo")
    assert camera.end(signal.SIGINT) == 0
    assert (infos[0].k[0], infos[0].p[0]) == (40.0, 40.0)
    assert (infos[0].distortion_model, list(infos[0].d)) == ("plumb_bob", [0.0] * 5)


def test_a_folder_whose_name_is_no_utf8_is_played(ros: Ros, tmp_path: Path) -> None:
    """Old disks, zip files; one of its files is damaged and named, too."""
    folder = os.fsencode(tmp_path) + b"/stra\xdfe"
    os.mkdir(folder)
    whole = cv2.imencode(".png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1].tobytes()
    for name, data in ((b"1.png", whole), (b"2.png", whole), (b"\xfc3.png", whole[:-30])):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    camera = ros.start("camera_node", {"source": f"'{os.fsdecode(folder)}'", "rate": 50.0})
    assert camera.wait() == 1
    assert "playing ended after 2 frames" in camera.log
    assert r"stra\udcdfe/\udcfc3.png: cannot read the image" in camera.log
    assert "Traceback" not in camera.log


@pytest.mark.parametrize("name", ["kitti03_db3_jpeg", "kitti03_mcap_raw"])
def test_a_bag_keeps_its_stamps_and_its_odometry(ros: Ros, name: str) -> None:
    bag = DATA / "bag" / name
    if not bag.is_dir():
        pytest.skip(f"no {bag}: set DEPTH_MOTION_DATA")
    images = ros.listen(Image, f"/{name}/image")
    speeds = ros.listen(Odometry, f"/{name}/odom_in")
    camera = ros.start(
        "camera_node",
        {"source": bag, "rate": 100.0, "wait_for_subscribers": 1, "publish_truth": True},
        ("-r", f"__ns:=/{name}"),
    )
    ros.wait(lambda: len(images) >= 20 and speeds, "twenty images and the odometry")
    assert camera.end(signal.SIGINT) == 0
    # The bags are of a 10 Hz camera: their stamps, not the pace of 100 Hz, are published.
    assert np.diff(stamps_of(images)[:20]) == pytest.approx(0.1e9, rel=0.1)
    assert (images[0].width, images[0].height) == (416, 128)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images, and nothing that tells a time."""
    path = tmp_path / "images"
    path.mkdir()
    for index in range(4):
        pixels = np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)
        cv2.imwrite(str(path / f"{index}.png"), pixels)
    return path


@pytest.mark.parametrize(
    ("kind", "stamps"), [("folder", None), ("sequence of seconds", None), ("folder", "source")]
)
def test_what_has_no_clock_is_of_the_present_time_unless_asked_otherwise(
    ros: Ros, folder: Path, kind: str, stamps: str | None
) -> None:
    if kind != "folder":
        folder.rename(folder.parent / "image")
        folder = folder.parent
        (folder / "intrinsics.json").write_text(
            json.dumps({"width": WIDTH, "height": HEIGHT, "K": None})
        )
        (folder / "timestamps.txt").write_text("0.0\n0.05\n0.1\n0.15\n")
    space = f"/{kind[0]}_{stamps}"
    images = ros.listen(Image, f"{space}/image")
    before = ros.node.get_clock().now().nanoseconds
    camera = ros.start(
        "camera_node",
        {"source": folder, "loop": True, "rate": 20.0, "wait_for_subscribers": 1}
        | ({} if stamps is None else {"stamps": stamps}),
        ("-r", f"__ns:={space}"),
    )
    ros.wait(lambda: len(images) > 6, "the loop to begin anew")
    assert camera.end(signal.SIGINT) == 0, camera.log
    found = stamps_of(images)
    if stamps == "source":
        assert "stamps: those of the source" in camera.log
        assert set(np.round(np.array(found) * 1e-9, 3)) <= {0.0, 0.05, 0.1, 0.15, 0.2, 0.3}
    else:
        assert "stamps: the time of publishing" in camera.log
        assert found[0] >= before
        assert sorted(set(found)) == found


def test_a_bag_keeps_its_stamps_over_a_clock_that_was_set(ros: Ros, tmp_path: Path) -> None:
    stamps = [20 * MS * i for i in range(4)] + [START + 20 * MS * i for i in range(4)]

    def script(recorder: Recorder) -> None:
        for index, stamp in enumerate(stamps):
            pixels = np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)
            recorder.image("/image", stamp, pixels, recorded=START + 20 * MS * index)

    images = ros.listen(Image, "/leap/image")
    camera = ros.start(
        "camera_node",
        {"source": record(tmp_path / "a", "mcap", script), "wait_for_subscribers": 1},
        ("-r", "__ns:=/leap"),
    )
    assert camera.wait() == 0, camera.log
    ros.wait(lambda: len(images) == len(stamps), "every image")
    assert stamps_of(images) == stamps
    assert "the stamps leap forwards by 53.9 years" in camera.log


def test_a_calibration_file_gives_a_folder_its_camera(
    ros: Ros, sequence: Path, tmp_path: Path
) -> None:
    path = tmp_path / "my camera.yaml"
    path.write_text(
        f"image_width: {WIDTH}\nimage_height: {HEIGHT}\ndistortion_model: plumb_bob\n"
        "camera_matrix: {rows: 3, cols: 3, data: [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1]}\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n"
    )
    infos = ros.listen(CameraInfo, "/calibrated/camera_info")
    for url in (path, f"file://{str(path).replace(' ', '%20')}"):
        infos.clear()
        camera = ros.start(
            "camera_node",
            {
                "source": sequence / "image",
                "camera_info_url": f"'{url}'",
                "rate": 20.0,
                "loop": True,
            },
            ("-r", "__ns:=/calibrated"),
        )  # fmt: skip
        ros.wait(lambda: infos, lambda camera=camera: camera.log, patience=100)
        assert infos[0].k[0] == 60.0
        camera.end(signal.SIGINT)


@pytest.mark.parametrize("url", ["/nix.yaml", "package://my_robot/camera.yaml"])
def test_a_calibration_that_cannot_be_read_is_refused(ros: Ros, sequence: Path, url: str) -> None:
    camera = ros.start("camera_node", {"source": sequence / "image", "camera_info_url": url})
    assert camera.wait(100) == 2, camera.log
    assert url in camera.log
    assert "Traceback" not in camera.log
