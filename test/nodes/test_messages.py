"""Messages hold the numbers of the estimate, in the layout that RViz and PCL read."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from depth_motion_ros.estimation.scene_flow.tracking import MovingObject
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.nodes.perception.markers import flow_colours, object_markers
from depth_motion_ros.nodes.ros import messages
from depth_motion_ros.nodes.ros.conversions import (
    BadImageError,
    StreamDecoder,
    compressed_to_rgb,
    image_to_rgb,
)
from depth_motion_ros.nodes.ros.transforms import base_from_optical

HEADER = Header(stamp=messages.stamp_to_message(12_345_678_901), frame_id="eye")
SKEWED = Camera(np.array([[50.0, 2.0, 30.0], [0, 40.0, 20.0], [0, 0, 1]]), 64, 48)


@pytest.fixture
def depth() -> np.ndarray:
    values = np.random.default_rng(0).uniform(1, 70, (48, 64)).astype(np.float32)
    values[5, 7] = np.nan
    return values


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def points_of(cloud: object) -> np.ndarray:
    names = [field.name for field in cloud.fields]
    return np.frombuffer(cloud.data, "<f4").reshape(cloud.height, cloud.width, len(names))


def test_stamps_keep_every_nanosecond() -> None:
    assert (HEADER.stamp.sec, HEADER.stamp.nanosec) == (12, 345_678_901)
    assert messages.stamp_from_message(HEADER.stamp) == 12_345_678_901


def test_byte_fields_are_arrays_that_a_message_takes_as_they_are(image: np.ndarray) -> None:
    message = messages.rgb_image(HEADER, image)
    assert isinstance(message.data, array.array)
    assert np.array_equal(image_to_rgb(message), image)


def test_depth_in_metres_keeps_nan_and_in_millimetres_makes_it_zero(depth: np.ndarray) -> None:
    metres = messages.depth_image(HEADER, depth, "32FC1")
    assert (metres.encoding, metres.step, metres.is_bigendian) == ("32FC1", 64 * 4, 0)
    assert np.array_equal(np.frombuffer(metres.data, "<f4").reshape(48, 64), depth, equal_nan=True)
    millimetres = messages.depth_image(HEADER, depth, "16UC1")
    assert (millimetres.encoding, millimetres.step) == ("16UC1", 64 * 2)
    values = np.frombuffer(millimetres.data, "<u2").reshape(48, 64)
    assert values[5, 7] == 0
    fits = np.nan_to_num(depth, nan=99) <= 65.535
    assert np.abs(values[fits] / 1000 - depth[fits]).max() <= 0.0006  # half a millimetre
    assert not values[~fits].any()


def test_the_cloud_projects_back_onto_its_pixels(depth: np.ndarray, image: np.ndarray) -> None:
    cloud = messages.depth_cloud(HEADER, depth, 0.1 * np.ones_like(depth), image, SKEWED)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (48, 64, 20, 1280)
    assert len(cloud.data) == 48 * 64 * 20
    points = points_of(cloud)
    assert np.isnan(points[5, 7, :3]).all()
    projected = points[..., :3] @ SKEWED.K.T
    u, v = np.meshgrid(np.arange(64), np.arange(48))
    known = np.isfinite(depth)
    assert np.allclose((projected[..., 0] / projected[..., 2])[known], u[known], atol=1e-3)
    assert np.allclose((projected[..., 1] / projected[..., 2])[known], v[known], atol=1e-3)
    colours = np.frombuffer(cloud.data, "<u4").reshape(48, 64, 5)[..., 3]
    red, green, blue = (image[..., channel].astype(np.uint32) for channel in range(3))
    assert np.array_equal(colours & 0xFFFFFF, red << 16 | green << 8 | blue)
    # Half where depth is off by a tenth.
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "confidence"]
    np.testing.assert_allclose(points[known][:, 4], 0.5, rtol=1e-6)


def test_the_standard_deviation_is_an_image_of_floats(depth: np.ndarray) -> None:
    message = messages.std_image(HEADER, 0.1 * depth)
    assert (message.encoding, message.height, message.width) == ("32FC1", 48, 64)
    values = np.frombuffer(message.data, "<f4").reshape(48, 64)
    np.testing.assert_allclose(values, 0.1 * depth)


def test_a_stride_thins_the_cloud_without_moving_it(depth: np.ndarray, image: np.ndarray) -> None:
    std = 0.1 * np.ones_like(depth)
    whole = points_of(messages.depth_cloud(HEADER, depth, std, image, SKEWED))
    thin = points_of(messages.depth_cloud(HEADER, depth, std, image, SKEWED, stride=4))
    assert thin.shape[:2] == (12, 16)
    assert np.allclose(thin[..., :3], whole[::4, ::4, :3], rtol=1e-6, equal_nan=True)


def moving_patch(depth: np.ndarray) -> np.ndarray:
    flow = np.zeros((48, 64, 3), np.float32)
    flow[np.isnan(depth)] = np.nan
    flow[10:26, 20:40] = (1.5, 0.0, -2.0)  # 2.5 m/s
    return flow


def test_the_flow_cloud_holds_the_moving_pixels_alone(depth: np.ndarray) -> None:
    flow = moving_patch(depth)
    cloud = messages.flow_cloud(HEADER, depth, flow, SKEWED)
    points = points_of(cloud)[0]
    assert cloud.is_dense
    assert points.shape == (16 * 20, 6)
    assert np.allclose(points[:, 3:], (1.5, 0.0, -2.0))
    whole = points_of(
        messages.depth_cloud(
            HEADER, depth, np.ones_like(depth), np.zeros((48, 64, 3), np.uint8), SKEWED
        )
    )
    assert np.allclose(points[:, :3], whole[10:26, 20:40, :3].reshape(-1, 3), rtol=1e-5)


def test_a_flow_cloud_without_motion_is_empty_and_valid(depth: np.ndarray) -> None:
    cloud = messages.flow_cloud(HEADER, depth, np.zeros((48, 64, 3), np.float32), SKEWED)
    assert (cloud.width, cloud.height, len(cloud.data)) == (0, 1, 0)


def test_one_object_is_one_arrow_of_its_velocity() -> None:
    state = np.array([2.0, 1.0, 8.0]), np.array([1.5, 0.0, -2.0])
    seen = MovingObject(7, state[0], np.ones(3), state[1], np.eye(6), (0, 0, 9, 9), 5)
    markers = object_markers(HEADER, [seen]).markers
    assert [(marker.ns, marker.id) for marker in markers] == [
        ("", 0), ("object_flow", 7), ("object_speed", 7),
    ]  # fmt: skip
    assert markers[0].action == markers[0].DELETEALL
    start, end = markers[1].points
    assert (start.x, start.y, start.z) == (2.0, 1.0, 8.0)
    assert (end.x - start.x, end.y - start.y, end.z - start.z) == pytest.approx((1.5, 0, -2.0))
    assert markers[2].text == "2.5 m/s"
    # What was shown before is deleted, also when nothing moves any more.
    assert len(object_markers(HEADER, []).markers) == 1


def test_what_moves_is_coloured_and_the_rest_is_gray(depth: np.ndarray, image: np.ndarray) -> None:
    colours = flow_colours(image, moving_patch(depth))
    static = np.ones((48, 64), bool)
    static[10:26, 20:40] = False
    assert (np.ptp(colours[static].astype(int), axis=1) == 0).all()
    assert (np.ptp(colours[~static].astype(int), axis=1) > 30).all()


def test_camera_info_reads_back_as_the_same_camera() -> None:
    distorted = Camera(SKEWED.K, 64, 48, np.array([0.1, -0.2, 0.0, 0.0, 0.05]))
    for camera in (SKEWED, distorted):
        assert Camera.from_camera_info(messages.camera_info(HEADER, camera)).same_as(camera)
    assert isinstance(messages.camera_info(HEADER, SKEWED), CameraInfo)


@pytest.mark.parametrize("model", ["equidistant", "rational_polynomial", "plumb_bob"])
def test_a_rectified_camera_is_published_as_plumb_bob_with_zeros(model: str) -> None:
    lens = Camera(SKEWED.K, 64, 48, np.full(4, 0.01), model)
    info = messages.camera_info(HEADER, lens.undistorted())
    assert (info.distortion_model, list(info.d)) == ("plumb_bob", [0.0] * 5)
    ideal = Camera(SKEWED.K, 64, 48, distortion_model="equidistant")
    info = messages.camera_info(HEADER, ideal)
    assert (info.distortion_model, list(info.d)) == ("equidistant", [0.0] * 4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_every_camera_has_bits_of_its_own(bits: int) -> None:
    """One that sends 16 bits, then another, by its frame_id, that uses fewer."""
    levels = np.linspace(0, 255, 16).astype(np.uint16)[None].repeat(4, 0)
    decode = StreamDecoder(image_to_rgb)
    for sent, frame_id in ((16, "left"), (bits, "right")):
        stored = (levels << 8 | levels) >> (16 - sent)
        data = array.array("B", stored.astype("<u2").tobytes())
        header = Header(frame_id=frame_id)
        fields = {"height": 4, "width": 16, "step": 32, "encoding": "mono16", "data": data}
        image = decode(Image(header=header, **fields))
        np.testing.assert_array_equal(image[..., 0], levels)


def test_odometry_keeps_order_and_axes() -> None:
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]  # 90 degrees to the left
    pose[:3, 3] = 1, 2, 3
    covariance = np.arange(36.0).reshape(6, 6)
    message = messages.odometry(
        HEADER, "base_link", pose, covariance, np.arange(6.0), covariance + 100
    )
    turn = message.pose.pose.orientation
    assert (turn.x, turn.y, turn.z, turn.w) == pytest.approx((0, 0, 0.5**0.5, 0.5**0.5))
    assert message.twist.twist.angular.z == 5.0
    assert message.pose.covariance[7] == 7.0
    assert message.twist.covariance[35] == 135.0


def test_the_extrinsic_turns_the_optical_axes_into_the_robots() -> None:
    level = base_from_optical((0.2, 0.0, 1.5), (0.0, 0.0, 0.0))
    assert level @ [0, 0, 4.0, 1] == pytest.approx([4.2, 0, 1.5, 1])  # ahead
    assert level @ [1.0, 0, 0, 1] == pytest.approx([0.2, -1.0, 1.5, 1])  # to the right
    down = base_from_optical((0, 0, 0), (0, np.radians(90), 0))  # pitch is nose down: REP-103
    assert down @ [0, 0, 1.0, 1] == pytest.approx([0, 0, -1.0, 1], abs=1e-12)


def bad_image(**changes: object) -> Image:
    fields = {"width": 4, "height": 2, "encoding": "rgb8", "step": 12}
    message = Image(**{**fields, **{k: v for k, v in changes.items() if k != "length"}})
    message.data = array.array("B", bytes(changes.get("length", 24)))
    return message


@pytest.mark.parametrize(
    ("changes", "cause", "detail"),
    [
        ({"length": 23}, "short data", "23 bytes.*need 24"),
        ({"width": 0}, "zero size", "0x2"),
        ({"height": 0}, "zero size", "4x0"),
        ({"encoding": "plaid8"}, "unknown encoding", "plaid8.*cv_bridge"),
        ({"step": 11}, "undecodable", "step is 11"),
    ],
)
def test_a_bad_image_is_refused_by_cause(changes: dict, cause: str, detail: str) -> None:
    with pytest.raises(BadImageError, match=detail) as caught:
        image_to_rgb(bad_image(**changes))
    assert caught.value.cause == cause


def test_jpeg_comes_back_as_nearly_the_same_image() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (48, 64, 3))
    message = messages.jpeg_image(HEADER, np.ascontiguousarray(ramp))
    difference = compressed_to_rgb(message).astype(int) - ramp
    assert np.abs(difference).max() <= 6  # quality 90 quantises a ramp by a few steps
    message.data = message.data[:100]
    with pytest.raises(BadImageError, match="truncated"):
        compressed_to_rgb(message)
