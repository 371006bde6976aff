"""Of a folder with several series of images, one camera's pictures; or a refusal."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.files import natural_key
from depth_motion_ros.sources.folder import FolderSource
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.series import pictures_of

COLOUR = np.full((12, 16, 3), 90, np.uint8)
GRAY = np.full((12, 16), 7, np.uint8)
DEPTH = np.full((12, 16), 1500, np.uint16)
DEEP = np.linspace(0, 1023, 16).astype(np.uint16)[None].repeat(12, 0)


def write(folder: Path, **series: tuple[str, np.ndarray]) -> Path:
    """name pattern and image of each series, five files of each."""
    folder.mkdir(exist_ok=True)
    for pattern, image in series.values():
        for index in range(5):
            cv2.imwrite(str(folder / pattern.format(index)), image)
    return folder


@pytest.mark.parametrize(
    ("colour", "other", "image"),
    [
        ("frame-{:06d}.color.png", "frame-{:06d}.depth.png", DEPTH),  # 7-Scenes
        ("rgb_{}.jpg", "depth_{}.png", DEPTH),
        ("13051031{:02d}.175.png", "13051031{:02d}.160.png", DEPTH),  # TUM's stamps, one folder
        ("{:04d}.jpg", "{:04d}_mask.png", GRAY),
        ("{:04d}.png", "{:04d}_seg.png", COLOUR),
        ("{:04d}_rgb.png", "{:04d}_disparity.png", GRAY),
        ("cam{}.jpg", "cam{}-labels.png", GRAY),
    ],
)
def test_colour_is_told_from_what_lies_beside_it(
    tmp_path: Path, colour: str, other: str, image: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(tmp_path / "a", colour=(colour, COLOUR), other=(other, image))
    with caplog.at_level(logging.WARNING):
        frames = list(open_source(folder))
    assert len(frames) == 5
    assert all(frame.image.mean() > 80 for frame in frames)
    assert "5 images; 5 " in caplog.text
    assert "left out" in caplog.text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("left_{}.png", "right_{}.png"),
        ("{:06d}.png", "{:06d}.jpg"),  # a JPEG made of every PNG
        ("a{}.png", "b{}.png"),
        ("depth_{}.png", "mask_{}.png"),
    ],
)
def test_series_that_cannot_be_told_apart_are_named(
    tmp_path: Path, first: str, second: str
) -> None:
    folder = write(tmp_path / "a", first=(first, COLOUR), second=(second, COLOUR))
    with pytest.raises(SourceError, match="several series of images with the same") as caught:
        open_source(folder)
    for pattern in (first, second):
        assert f"{pattern.split('{')[0]}#{pattern.split('}')[1]} (5)" in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ("{}.png", "2{}.png"),  # 0 to 4, 20 to 24
        ("morning_{}.jpg", "noon_1{}.jpg"),  # other numbers: one behind the other
        ("mask_{}.png", "mask_1{}.png"),  # all called mask: it is what is there
    ],
)
def test_one_series_is_read_whole(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = write(tmp_path / "a", a=(names[0], COLOUR), b=(names[1], COLOUR))
    assert len(pictures_of(folder)) == 10


def test_names_that_share_nothing_are_one_series(tmp_path: Path) -> None:
    """Hashes: a thousand names, a thousand patterns."""
    png = cv2.imencode(".png", GRAY)[1].tobytes()
    for index in range(300):
        (tmp_path / f"{hashlib.sha256(str(index).encode()).hexdigest()}.png").write_bytes(png)
    assert len(pictures_of(tmp_path)) == 300


def test_a_folder_of_16_bit_images_is_a_camera_of_its_bits(tmp_path: Path) -> None:
    """A thermal or machine vision camera; the first image is dark."""
    folder = write(tmp_path / "a", a=("{}.png", DEEP))
    cv2.imwrite(str(folder / "0.png"), DEEP // 64)
    images = [frame.image for frame in FolderSource(folder)]
    assert len(images) == 5
    assert images[0].max() == 3
    np.testing.assert_array_equal(images[1][0, :, 0], DEEP[0] >> 2)


def with_orientation(jpeg: bytes, value: int) -> bytes:
    """The JPEG with an EXIF segment of one entry (EXIF 2.3, 4.6.4)."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes((value, 0, 0, 0)) + bytes(4)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


@pytest.mark.parametrize(
    ("value", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))]
)
def test_a_picture_of_a_turned_phone_is_upright(
    tmp_path: Path, value: int, corner: tuple[int, int]
) -> None:
    """The stored picture is bright in its upper left quarter."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 250
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    (tmp_path / "1.jpg").write_bytes(with_orientation(jpeg, value))
    (frame,) = FolderSource(tmp_path)
    assert frame.image.shape == ((64, 48, 3) if value in (6, 8) else (48, 64, 3))
    assert frame.image[corner][0] > 200
    assert (frame.image[[0, 0, -1, -1], [0, -1, 0, -1], 0] > 200).sum() == 1
    # Intrinsics of the stored pixels keep these.
    camera = Camera.from_field_of_view(64, 48, 1.0)
    (frame,) = FolderSource(tmp_path, camera=camera)
    assert frame.image.shape == (48, 64, 3)


def test_every_name_has_its_place_in_order() -> None:
    """Digits of other scripts count; what only looks like a digit does not."""
    names = ["10.png", "2.png", "①3.png", "①20.png", "4m²1.png", "4m²10.png", "٢.png", "١٠.png"]
    ordered = sorted(names, key=natural_key)
    assert ordered.index("2.png") < ordered.index("10.png")
    assert ordered.index("①3.png") < ordered.index("①20.png")
    assert ordered.index("4m²1.png") < ordered.index("4m²10.png")
    assert ordered.index("٢.png") < ordered.index("١٠.png")
    assert sorted(["½.png", "¹.png", "x⁷y.png", "㉑.png", "9" * 200 + ".png"], key=natural_key)
