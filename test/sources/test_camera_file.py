"""Calibration files as their writers leave them: read, or refused in one sentence."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from depth_motion_ros.sources.camera_file import read_camera_file
from depth_motion_ros.sources.frame import SourceError

ROS = """image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [400.0, 0, 320.5, 0, 401.0, 240.5, 0, 0, 1]
{lens}
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [350.0, 0, 318, 0, 0, 351.0, 239, 0, 0, 0, 1, 0]}}
"""
FISHEYE = "distortion_coefficients: {rows: 1, cols: 4, data: [0.02, -0.01, 0.003, 0.001]}"
FIVE = "distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0.001, 0.002, 0]}"
OPENCV = """%YAML:1.0
---
calibration_time: "Tue Mar  3 10:00:00 2026"
image_width: 640
image_height: 480
board_width: 9
flags: 0
fisheye_model: {fisheye}
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 400., 0., 320.5, 0., 401., 240.5, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 4
   cols: 1
   dt: d
   data: [ 2.0e-02, -1.0e-02, 3.0e-03, 1.0e-03 ]
"""
OPENCV_XML = """<?xml version="1.0"?>
<opencv_storage>
<image_width>640</image_width>
<image_height>480</image_height>
<fisheye_model>1</fisheye_model>
<camera_matrix type_id="opencv-matrix">
  <rows>3</rows><cols>3</cols><dt>d</dt>
  <data>400. 0. 320.5 0. 401. 240.5 0. 0. 1.</data></camera_matrix>
<distortion_coefficients type_id="opencv-matrix">
  <rows>4</rows><cols>1</cols><dt>d</dt>
  <data>0.02 -0.01 0.003 0.001</data></distortion_coefficients>
</opencv_storage>
"""
KALIBR = """cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [0.02, -0.01, 0.003, 0.001]
  distortion_model: {model}
  intrinsics: [400.0, 401.0, 320.5, 240.5]
  resolution: [640, 480]
  rostopic: /cam0/image_raw
cam1:
  camera_model: pinhole
  distortion_coeffs: [0, 0, 0, 0]
  distortion_model: radtan
  intrinsics: [500.0, 501.0, 320.5, 240.5]
  resolution: [640, 480]
"""
ORB_SLAM_2 = """%YAML:1.0
# Camera calibration and distortion parameters (OpenCV)
Camera.fx: 400.0
Camera.fy: 401.0
Camera.cx: 320.5
Camera.cy: 240.5
Camera.k1: -0.3
Camera.k2: 0.1
Camera.p1: 0.001
Camera.p2: 0.002
Camera.width: 640
Camera.height: 480
Camera.fps: 30.0
ORBextractor.nFeatures: 1000
"""
ORB_SLAM_3 = """%YAML:1.0
File.version: "1.0"
Camera.type: "KannalaBrandt8"
Camera1.fx: 400.0
Camera1.fy: 401.0
Camera1.cx: 320.5
Camera1.cy: 240.5
Camera1.k1: 0.02
Camera1.k2: -0.01
Camera1.k3: 0.003
Camera1.k4: 0.001
Camera2.fx: 500.0
Camera.width: 640
Camera.height: 480
"""
VINS = """%YAML:1.0
---
model_type: {model}
camera_name: camera
image_width: 640
image_height: 480
projection_parameters:
   k2: 0.02
   k3: -0.01
   k4: 0.003
   k5: 0.001
   mu: 400.0
   mv: 401.0
   u0: 320.5
   v0: 240.5
"""
OURS = json.dumps(
    {
        "width": 640,
        "height": 480,
        "K": [[400, 0, 320.5], [0, 401, 240.5], [0, 0, 1]],
        "distortion": [0.02, -0.01, 0.003, 0.001],
        "distortion_model": "equidistant",
    }
)
FISHEYES = {
    "ROS": ROS.format(lens=f"distortion_model: equidistant\n{FISHEYE}"),
    "ROS, fisheye": ROS.format(lens=f"distortion_model: fisheye\n{FISHEYE}"),
    "ROS, camera_model": ROS.format(lens=f"camera_model: Fisheye\n{FISHEYE}"),
    "ROS, is_fisheye": ROS.format(lens=f"is_fisheye: true\n{FISHEYE}"),
    "ROS, lens_type": ROS.format(lens=f"lens_type: kannala_brandt\n{FISHEYE}"),
    "OpenCV": OPENCV.format(fisheye=1),
    "OpenCV XML": OPENCV_XML,
    "Kalibr": KALIBR.format(model="equidistant"),
    "ORB-SLAM3": ORB_SLAM_3,
    "VINS": VINS.format(model="KANNALA_BRANDT"),
    "intrinsics.json": OURS,
}


def written(folder: Path, text: str) -> Path:
    path = folder / "camera.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("writer", FISHEYES)
def test_a_fisheye_is_one_by_whatever_key_its_writer_says_so(tmp_path: Path, writer: str) -> None:
    camera = read_camera_file(written(tmp_path, FISHEYES[writer]))
    assert camera.distortion_model == "equidistant"
    np.testing.assert_allclose(camera.distortion, [0.02, -0.01, 0.003, 0.001])
    np.testing.assert_allclose(camera.K, [[400, 0, 320.5], [0, 401, 240.5], [0, 0, 1]])
    assert camera.size == (640, 480)


@pytest.mark.parametrize(
    "text",
    [
        ROS.format(lens=f"distortion_model: plumb_bob\n{FIVE}"),
        ROS.format(lens=f"distortion_model: radtan\n{FIVE}"),
        ROS.format(lens=f"camera_model: Acme C92\ndistortion_model: plumb_bob\n{FIVE}"),
        ORB_SLAM_2,
        ORB_SLAM_2.replace("Camera.fx", 'Camera.type: "PinHole"\nCamera.fx'),
    ],
)
def test_radial_and_tangential_terms_are_plumb_bob(tmp_path: Path, text: str) -> None:
    camera = read_camera_file(written(tmp_path, text))
    assert camera.distortion_model == "plumb_bob"
    np.testing.assert_allclose(camera.distortion, [-0.3, 0.1, 0.001, 0.002, 0])


def test_an_opencv_file_that_says_it_is_no_fisheye_is_plumb_bob(tmp_path: Path) -> None:
    camera = read_camera_file(written(tmp_path, OPENCV.format(fisheye=0)))
    assert camera.distortion_model == "plumb_bob"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        # Four numbers without a name are k1 k2 p1 p2 or k1 k2 k3 k4.
        (ROS.format(lens=FISHEYE), "4 distortion coefficients, but the distortion model is ''"),
        (ROS.format(lens=FIVE), "5 distortion coefficients, but .* say which it is, plumb_bob"),
        (OPENCV.format(fisheye=0).replace("fisheye_model: 0\n", ""), "say which it is"),
        (ORB_SLAM_3.replace('Camera.type: "KannalaBrandt8"\n', ""), "say which it is"),
        (ROS.format(lens=f"distortion_model: double_sphere\n{FISHEYE}"), "'double_sphere'; known"),
        (KALIBR.format(model="fov"), "unknown distortion model 'fov'"),
        (VINS.format(model="MEI"), "unknown distortion model 'MEI'"),
        (
            ROS.format(lens=f"distortion_model: plumb_bob\nfisheye: true\n{FISHEYE}"),
            "several distortion models: equidistant, plumb_bob",
        ),
        (ORB_SLAM_2.replace("Camera.width: 640\n", ""), "no size of the image"),
        (KALIBR.format(model="radtan").replace("[400.0, ", "[1.1, 400.0, "), "must be fx, fy"),
        ("# COLMAP\n1 OPENCV 640 480 400 401 320.5 240.5 0 0 0 0\n", "no list of keys and values"),
        (ROS.format(lens="").replace("640", ".inf"), "no valid camera"),
        ("a: [1\n", "cannot read this camera file"),
        ("<opencv_storage><a>", "cannot read this camera file"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><opencv_storage/>', "with entities is not read"),
        ("image_width: 640\nimage_height: 480\n", "no camera_matrix, intrinsics, or fx"),
        (
            ROS.format(lens="").replace("[400.0, 0, 320.5, 0, 401.0", "[0.6, 0, 0.5, 0, 0.8"),
            "cannot be pixels of a 640x480 image",
        ),
    ],
)
def test_what_leaves_the_lens_open_is_refused_in_one_sentence(
    tmp_path: Path, text: str, match: str
) -> None:
    with pytest.raises(SourceError, match=match) as caught:
        read_camera_file(written(tmp_path, text))
    assert "camera.yaml" in str(caught.value)


def test_rectified_images_have_the_projection_matrix(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, ROS.format(lens=f"distortion_model: plumb_bob\n{FIVE}"))
    camera = read_camera_file(path, rectified=True)
    assert (camera.fx, camera.fy, camera.cx) == (350, 351, 318)
    assert not camera.is_distorted
    assert not caplog.text
    # A file without one: K is used, and that is said.
    with caplog.at_level(logging.WARNING):
        camera = read_camera_file(written(tmp_path, ORB_SLAM_2), rectified=True)
    assert (camera.fx, camera.is_distorted) == (400, False)
    assert "P is not given: K is used" in caplog.text
