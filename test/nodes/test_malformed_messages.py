"""Ten thousand generated messages: none crashes a conversion, and each fault is counted.

They are objects with the fields of the ROS messages rather than these themselves: what comes
over the wire is not checked by their setters either.
"""

from __future__ import annotations

import array
import struct
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from support.ros_doubles import KnownEngine

from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, WeightsError, weights_of
from depth_motion_ros.nodes.perception.engine_slot import EngineSlot
from depth_motion_ros.nodes.perception.processor import FrameProcessor, ReceivedImage
from depth_motion_ros.nodes.ros.camera_info import CameraPairing
from depth_motion_ros.nodes.ros.conversions import BadImageError, compressed_to_rgb, image_to_rgb
from depth_motion_ros.nodes.ros.diagnostics import FrameCounters
from depth_motion_ros.nodes.ros.messages import pose_from_message
from depth_motion_ros.sources.encodings import ENCODINGS

CAUSES = {"zero size", "short data", "undecodable", "unknown encoding"}
UINT32 = 2**32 - 1
# Bytes of a pixel; the planar ones have half as many rows again, in bytes of their own.
PIXEL = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "rgba8": 4, "bgra8": 4, "8UC4": 4, "mono8": 1,
         "8UC1": 1, "yuv422": 2, "uyvy": 2, "yuv422_yuy2": 2, "yuyv": 2, "mono16": 2,
         "16UC1": 2, "nv12": 1, "nv21": 1}  # fmt: skip


def generated(count: int) -> Any:
    """The same messages in every run, so that a failure is a failure for everybody."""
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def header() -> SearchStrategy[Any]:
    stamp = st.builds(
        SimpleNamespace, sec=st.integers(-(2**31), 2**31 - 1), nanosec=st.integers(0, UINT32)
    )
    return st.builds(
        SimpleNamespace, stamp=stamp, frame_id=st.sampled_from(["", "eye", "ey\u00e9 /~"])
    )


def pixel_bytes(encoding: str) -> int:
    return PIXEL.get(encoding, 2 if encoding.endswith("16") else 1)


@st.composite
def images(draw: DrawFn) -> Any:
    """Sizes, steps and lengths that fit each other, nearly fit, or have nothing in common."""
    encoding = draw(st.sampled_from([*ENCODINGS, "32FC1", "plaid8", "", "RGB8"]))
    extreme = st.sampled_from([2**16, 2**31, UINT32])
    width, height = (draw(st.integers(0, 9) | extreme) for _ in range(2))
    row = width * pixel_bytes(encoding)
    step = draw(st.just(row) | st.integers(-2, 7).map(lambda more: row + more) | extreme)
    step = min(max(step, 0), UINT32)
    rows = height * 3 // 2 if encoding in ("nv12", "nv21") else height
    fitting = step * rows if step * rows < 4000 else 0
    length = draw(
        st.just(fitting) | st.integers(-3, 3).map(lambda more: fitting + more) | st.integers(0, 99)
    )
    return SimpleNamespace(
        header=draw(header()), width=width, height=height, step=step, encoding=encoding,
        is_bigendian=draw(st.sampled_from([0, 1, 255])),
        data=array.array("B", bytes(max(length, 0))),
    )  # fmt: skip


def is_sound(message: Any) -> bool:
    """By the definition of sensor_msgs/Image and of the encodings, not by our code."""
    planar = message.encoding in ("nv12", "nv21")
    paired = message.encoding in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")
    rows = message.height * 3 // 2 if planar else message.height
    return (
        message.encoding in ENCODINGS
        and message.width > 0
        and message.height > 0
        and not ((planar or paired) and message.width % 2)
        and not (planar and message.height % 2)
        and message.step >= message.width * pixel_bytes(message.encoding)
        and len(message.data) >= message.step * rows
    )


@generated(4500)
@given(images())
def test_an_image_is_decoded_in_its_own_size_or_refused_by_name(message: Any) -> None:
    if not is_sound(message):
        with pytest.raises(BadImageError) as refused:
            image_to_rgb(message)
        assert refused.value.cause in CAUSES
        return
    pixels = image_to_rgb(message)
    assert pixels.shape == (message.height, message.width, 3)
    assert pixels.dtype == np.uint8


def outcome(decode: Callable[[], Any]) -> tuple[Any, str]:
    """What came out, or the name of what was wrong; every other error fails the test."""
    try:
        return decode(), ""
    except BadImageError as error:
        return None, error.cause


PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
FILES = [cv2.imencode(suffix, PICTURE)[1].tobytes() for suffix in (".jpg", ".png")]


@st.composite
def files(draw: DrawFn) -> bytes:
    """JPEG and PNG with bytes changed, cut out, put in or appended; and mere noise."""
    data = bytearray(draw(st.sampled_from(FILES) | st.binary(max_size=40)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["change", "cut", "insert", "end", "append"]))
        if kind == "change" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "end":
            del data[at:]
        else:
            data += draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


def png_of_size(width: int, height: int) -> bytes:
    """A sound PNG but for what its header says of its size."""
    start = FILES[1].index(b"IHDR")
    chunk = b"IHDR" + struct.pack(">II", width, height) + FILES[1][start + 12 : start + 17]
    return FILES[1][:start] + chunk + struct.pack(">I", zlib.crc32(chunk)) + FILES[1][start + 21 :]


def jpeg_of_size(width: int, height: int) -> bytes:
    at = FILES[0].index(b"\xff\xc0") + 5
    return FILES[0][:at] + struct.pack(">HH", height, width) + FILES[0][at + 4 :]


@generated(3000)
@given(
    st.builds(
        SimpleNamespace, header=header(), data=files().map(lambda data: array.array("B", data)),
        format=st.sampled_from(["jpeg", "png", "", "rgb8; jpeg compressed bgr8", "h264",
                                "16UC1; compressedDepth png"]),
    )
)  # fmt: skip
def test_a_compressed_image_is_a_picture_or_refused_by_name(message: Any) -> None:
    pixels, cause = outcome(lambda: compressed_to_rgb(message))
    if pixels is None:
        assert cause in CAUSES
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.dtype == np.uint8


def jpeg_with_rubbish_before_its_size(width: int, height: int) -> bytes:
    whole = jpeg_of_size(width, height)
    at = whole.index(b"\xff\xc0")
    return whole[:at] + b"rubbish\xff" + whole[at:]


@pytest.mark.parametrize("make", [png_of_size, jpeg_of_size, jpeg_with_rubbish_before_its_size])
def test_a_small_file_that_claims_a_huge_picture_costs_no_memory(make: Any) -> None:
    assert compressed_to_rgb(compressed(make(32, 24))).shape == (24, 32, 3)
    # 65000 x 16000 pixels would take 3 GB.
    with pytest.raises(BadImageError, match="65000x16000"):
        compressed_to_rgb(compressed(make(65000, 16000)))


def compressed(data: bytes) -> Any:
    return SimpleNamespace(data=array.array("B", data), format="jpeg")


class Sink:
    """Takes every output; keeps the size of the last depth."""

    depth: tuple[int, ...] = ()

    def wanted(self) -> frozenset[str]:
        return frozenset({"depth/image", "odom", "object_flow/image"})

    def publish_estimate(self, wanted: Any, header: Any, estimate: Any, size: Any) -> None:
        self.depth = estimate.depth.shape
        assert np.isfinite(estimate.camera.K).all()

    def publish_odometry(self, wanted: Any, stamp: Any, state: Any) -> None:
        assert np.isfinite(state.pose).all()
        assert np.isfinite(state.covariance).all()


NET_WIDTH, NET_HEIGHT = 64, 32


class Chain:
    """What the node does with a message, without its process: pairing, decoding, estimating."""

    def __init__(self) -> None:
        self.counters, self.sink = FrameCounters(), Sink()
        self.causes: list[str] = []
        self.pairing = CameraPairing(lambda cause, text: self.causes.append(cause))
        mount = np.eye(4)
        self.perception = FrameProcessor(
            EngineSlot(KnownEngine(NET_WIDTH, NET_HEIGHT, 0.0)), EstimatorSettings(), self.sink,
            self.pairing, lambda frame_id: mount, image_to_rgb, self.counters,
            lambda cause, text: self.causes.append(cause),
        )  # fmt: skip

    def count(self, name: str) -> int:
        return int(self.counters.values(0)[name])


CHAIN = Chain()


@generated(1000)
@given(images())
def test_every_image_is_served_or_counted_as_bad_whatever_came_before(message: Any) -> None:
    before = {name: CHAIN.count(name) for name in ("served", "bad")}
    CHAIN.perception.serve(ReceivedImage(message, 0.0))
    served, bad = (CHAIN.count(name) - before[name] for name in ("served", "bad"))
    assert (served, bad) == ((1, 0) if is_sound(message) else (0, 1))
    if served:
        assert CHAIN.sink.depth == (NET_HEIGHT, NET_WIDTH)


NUMBERS = st.sampled_from(
    [0.0, 1.0, -1.0, 0.1, 300.0, 31.5, 1e-320, 1e-9, 1e9, 1e300, float("nan"), float("inf")]
) | st.floats(width=64)
COUNTS = st.sampled_from([0, 1, 2, 24, 32, 64, UINT32])
SOUND_K = [30.0, 0.0, 15.5, 0.0, 30.0, 11.5, 0.0, 0.0, 1.0]


@st.composite
def infos(draw: DrawFn) -> Any:
    return SimpleNamespace(
        header=draw(header()),
        width=draw(st.just(32) | COUNTS), height=draw(st.just(24) | COUNTS),
        distortion_model=draw(
            st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "fisheye9"])
        ),
        d=draw(st.lists(NUMBERS, max_size=15) | st.just([0.0] * 5)),
        k=draw(st.just(SOUND_K) | st.lists(NUMBERS, min_size=9, max_size=9)),
        binning_x=draw(st.just(0) | COUNTS), binning_y=draw(st.just(0) | COUNTS),
        roi=draw(st.builds(SimpleNamespace, x_offset=st.just(0) | COUNTS,
                           y_offset=st.just(0) | COUNTS, width=st.just(0) | COUNTS,
                           height=st.just(0) | COUNTS)),
    )  # fmt: skip


@generated(800)
@given(infos())
def test_with_any_camera_info_the_image_is_served(info: Any) -> None:
    """A CameraInfo that cannot be believed costs the intrinsics, never the frame."""
    chain = Chain()
    image = SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id="eye"),
        width=32, height=24, step=96, encoding="rgb8", is_bigendian=0,
        data=array.array("B", PICTURE.tobytes()),
    )  # fmt: skip
    chain.pairing.set(info, 1_000_000_000)
    for second in (1, 2):
        image.header.stamp.sec = second
        chain.perception.serve(ReceivedImage(image, 0.0))
    assert chain.count("served") == 2
    believed = chain.perception.camera_is_given
    assert believed or any(cause.startswith("camera_info") for cause in chain.causes)


def vector(names: str) -> SearchStrategy[Any]:
    return st.builds(SimpleNamespace, **dict.fromkeys(names, NUMBERS))


@generated(500)
@given(st.builds(SimpleNamespace, orientation=vector("xyzw"), position=vector("xyz")))
@example(
    SimpleNamespace(
        orientation=SimpleNamespace(x=1e300, y=1e300, z=0.0, w=1e300),
        position=SimpleNamespace(x=0.0, y=0.0, z=0.0),
    )
)
def test_an_odometry_pose_is_a_pose_or_refused(pose: Any) -> None:
    try:
        matrix = pose_from_message(pose)
    except ValueError:
        return
    assert np.isfinite(matrix).all()
    # 1e-9: what normalising in double precision leaves.
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)
    assert matrix[3].tolist() == [0.0, 0.0, 0.0, 1.0]


def whole_weights() -> bytes:
    torch.manual_seed(0)
    return weights_of(DepthMotionNet(NetworkConfig("lite", NET_WIDTH, NET_HEIGHT))).to_bytes()


WEIGHTS = whole_weights()
HEADER = 8 + int.from_bytes(WEIGHTS[:8], "little")


@generated(200)
@given(
    st.integers(0, HEADER), st.binary(max_size=12), st.integers(0, 12),
    st.none() | st.integers(0, HEADER + 64),
)  # fmt: skip
@example(0, b"\xff" * 8, 8, None)
def test_a_damaged_weights_message_is_a_weights_error(
    at: int, put: bytes, drop: int, keep: int | None
) -> None:
    """Damage in the header and its length, where a reader could be led astray."""
    data = (WEIGHTS[:at] + put + WEIGHTS[at + drop :])[:keep]
    try:
        weights = Weights.from_bytes(data, "topic weights")
    except WeightsError:
        weights = None
    # What is still whole is of this network; nothing else was let through.
    assert weights is None or weights.config == NetworkConfig("lite", NET_WIDTH, NET_HEIGHT)
