"""KITTI as downloaded, built here in miniature."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.open import open_source

P2 = "7.215e+01 0.0 6.09e+01 4.485728e+00 0.0 7.315e+01 1.72e+01 2.163791e-02 0 0 1 2.745884e-03"
CALIBRATION = f"""calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_02: 1.3e+02 4.0e+01
K_02: 9.5e+01 0 6.9e+01 0 9.6e+01 2.2e+01 0 0 1
D_02: -3.6e-01 2.0e-01 2.2e-03 1.8e-03 -7.2e-02
S_rect_02: 1.240000e+02 3.700000e+01
P_rect_02: {P2}
"""


def write_images(folder: Path, width: int, height: int, digits: int) -> None:
    folder.mkdir(parents=True)
    for index in range(3):
        name = str(folder / f"{index:0{digits}d}.png")
        cv2.imwrite(name, np.full((height, width, 3), 10 * index, np.uint8))


def make_drive(root: Path, kind: str = "sync") -> Path:
    drive = root / "2011_09_26" / f"2011_09_26_drive_0001_{kind}"
    size = (124, 37) if kind == "sync" else (130, 40)
    write_images(drive / "image_02" / "data", *size, digits=10)
    (drive / "image_02" / "timestamps.txt").write_text(
        "2011-09-26 13:02:25.964389445\n2011-09-26 13:02:26.064389445\n"
        "2011-09-26 13:02:26.164389446\n"
    )
    (drive.parent / "calib_cam_to_cam.txt").write_text(CALIBRATION)
    oxts = drive / "oxts" / "data"
    oxts.mkdir(parents=True)
    for index in range(2):  # the third record is missing
        record = [*range(100, 108), 13.25 + index, *range(109, 130)]  # vf is number 8
        (oxts / f"{index:010d}.txt").write_text(" ".join(map(str, record)))
    return drive


@pytest.mark.parametrize("inside", ["", "image_02", "image_02/data"])
def test_a_raw_drive_gives_camera_stamps_and_speed(tmp_path: Path, inside: str) -> None:
    source = open_source(make_drive(tmp_path) / inside)
    frames = list(source)
    assert source.name == "2011_09_26_drive_0001_sync_image_02"
    # date -u -d '2011-09-26 13:02:25' +%s
    assert frames[0].stamp == 1317042145_964389445
    assert frames[2].stamp - frames[1].stamp == 100_000_001
    camera = frames[1].camera
    assert camera is not None
    np.testing.assert_allclose(camera.K, [[72.15, 0, 60.9], [0, 73.15, 17.2], [0, 0, 1]])
    assert not camera.is_distorted
    assert [frame.truth and frame.truth.speed for frame in frames] == [13.25, 14.25, None]


def test_an_unrectified_drive_hands_on_its_distortion(tmp_path: Path) -> None:
    camera = next(iter(open_source(make_drive(tmp_path, "extract")))).camera
    assert camera is not None
    assert camera.size == (130, 40)
    assert (camera.fx, camera.distortion[0]) == (95, -0.36)


def make_odometry(root: Path) -> Path:
    sequence = root / "sequences" / "03"
    write_images(sequence / "image_2", 124, 37, digits=6)
    (sequence / "calib.txt").write_text(f"P0: 72.15 0 60.9 0 0 73.15 17.2 0 0 0 1 0\nP2: {P2}\n")
    (sequence / "times.txt").write_text("0.000000e+00\n1.036224e-01\n2.072447e-01\n")
    (root / "poses").mkdir()
    # A quarter-turn to the right at (1, 2, 3), and two more.
    (root / "poses" / "03.txt").write_text("0 0 1 1 0 1 0 2 -1 0 0 3\n" * 3)
    return sequence


@pytest.mark.parametrize("inside", ["", "image_2"])
def test_an_odometry_sequence_gives_poses_of_its_own_camera(tmp_path: Path, inside: str) -> None:
    frames = list(open_source(make_odometry(tmp_path) / inside))
    assert [frame.stamp for frame in frames] == [0, 103_622_400, 207_244_700]
    truth = frames[0].truth
    assert truth is not None
    assert truth.pose is not None
    # Camera 2 sees a point at X + t with K t = the last column of P2, so it sits at -t, turned:
    # x of camera 0 is -z of the world, y is y, z is x.
    t = np.linalg.solve(
        Camera(np.array([[72.15, 0, 60.9], [0, 73.15, 17.2], [0, 0, 1]]), 124, 37).K,
        [4.485728, 0.02163791, 0.002745884],
    )
    np.testing.assert_allclose(truth.pose[:3, 3], [1 - t[2], 2 - t[1], 3 + t[0]], atol=1e-9)
    np.testing.assert_allclose(truth.pose[:3, :3], [[0, 0, 1], [0, 1, 0], [-1, 0, 0]])


def test_a_sequence_without_published_poses_has_none(tmp_path: Path) -> None:
    sequence = make_odometry(tmp_path)
    (tmp_path / "poses" / "03.txt").unlink()
    assert next(iter(open_source(sequence))).truth is None


@pytest.mark.parametrize(
    ("remove", "match"),
    [
        ("2011_09_26/calib_cam_to_cam.txt", "calib_cam_to_cam.txt: cannot read"),
        ("2011_09_26/2011_09_26_drive_0001_sync/image_02/timestamps.txt", "cannot read"),
        (
            "2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000001.png",
            "3 stamps for 2 images",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, remove: str, match: str) -> None:
    drive = make_drive(tmp_path)
    (tmp_path / remove).unlink()
    with pytest.raises(SourceError, match=match):
        open_source(drive)


def test_a_calibration_without_this_camera_is_named(tmp_path: Path) -> None:
    drive = make_drive(tmp_path)
    path = drive.parent / "calib_cam_to_cam.txt"
    path.write_text(CALIBRATION.replace("P_rect_02", "P_rect_03"))
    with pytest.raises(SourceError, match="no entry 'P_rect_02'"):
        open_source(drive)


def test_a_drive_may_be_said_to_be_rectified_or_not(tmp_path: Path) -> None:
    drive = make_drive(tmp_path / "a", "extract")
    for path in (drive / "image_02" / "data").iterdir():
        cv2.imwrite(str(path), np.zeros((37, 124, 3), np.uint8))
    camera = next(iter(open_source(drive, rectified=True))).camera
    assert camera is not None
    assert (camera.fx, camera.is_distorted, camera.size) == (72.15, False, (124, 37))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: (s / "times.txt").unlink(), "times.txt: cannot read"),
        (lambda s: (s / "calib.txt").unlink(), "no frames in this folder, which holds image_2"),
        (lambda s: (s / "calib.txt").write_text("Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n"), "no entry 'P2'"),
        (lambda s: (s / "calib.txt").write_text(f"P2 {P2}\n"), "no entry 'P2'"),
        (lambda s: (s / "calib.txt").write_text("P2: 7.2e+01 0 3.1e+01\n"), "P2 gives no camera"),
        (
            lambda s: (s / "calib.txt").write_text(f"P2: {P2.replace('7.315e+01', '0')}\n"),
            "P2 gives no camera",
        ),
        (
            lambda s: (s / "calib.txt").write_text("P2: 0.58 0 0.5 0 0 1.9 0.5 0 0 0 1 0\n"),
            "cannot be pixels of a 124x37 image",
        ),
        (
            lambda s: (s.parents[1] / "poses" / "03.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n"),
            "1 rows for 3 images",
        ),
        # monodepth2's recipe: a JPEG made of every PNG, which then lies beside it
        (lambda s: write_more(s / "image_2", ".jpg"), "3 stamps for 6 images"),
    ],
)
def test_an_odometry_sequence_that_is_not_whole_is_named(
    tmp_path: Path, change: Callable[[Path], object], match: str
) -> None:
    sequence = make_odometry(tmp_path)
    change(sequence)
    with pytest.raises(SourceError, match=match):
        open_source(sequence)


def write_more(folder: Path, suffix: str) -> None:
    for path in list(folder.iterdir()):
        cv2.imwrite(str(path.with_suffix(suffix)), np.zeros((37, 124, 3), np.uint8))


def test_a_folder_beside_the_images_of_a_drive_is_answered(tmp_path: Path) -> None:
    drive = make_drive(tmp_path)
    with pytest.raises(SourceError, match="no frames in this folder, which holds 2011_09_26_drive"):
        open_source(drive.parent)
    with pytest.raises(SourceError, match=r"no such folder|no images"):
        open_source(drive / "oxts")


def test_a_drive_without_its_robot_has_no_speed(tmp_path: Path) -> None:
    drive = make_drive(tmp_path)
    shutil.rmtree(drive / "oxts")
    assert [frame.truth for frame in open_source(drive)] == [None, None, None]


def test_the_images_of_an_odometry_sequence_alone_are_a_folder(tmp_path: Path) -> None:
    sequence = make_odometry(tmp_path)
    (sequence / "calib.txt").unlink()
    frames = list(open_source(sequence / "image_2"))
    assert [frame.camera for frame in frames] == [None] * 3
