"""Image messages and image files become RGB, or an error that says what is wrong."""

from __future__ import annotations

import array
import logging

import cv2
import numpy as np
import pytest

from depth_motion_ros.sources.encodings import (
    ENCODINGS,
    BitDepth,
    EncodingError,
    decode_compressed,
    decode_image,
)

RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GRAY = RGB[..., 0].copy()


def with_alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack((image, np.full(image.shape[:2], 99, np.uint8)))


def padded(rows: np.ndarray, padding: int) -> bytes:
    """Rows as bytes with ``padding`` bytes of 0xAA behind each."""
    flat = rows.reshape(rows.shape[0], -1)
    return np.pad(flat, ((0, 0), (0, padding)), constant_values=0xAA).tobytes()


COLOUR = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "8UC3": RGB[..., ::-1],
    "rgba8": with_alpha(RGB),
    "bgra8": with_alpha(RGB[..., ::-1]),
    "8UC4": with_alpha(RGB[..., ::-1]),
}


# 0: tight rows. 5: a step that is no multiple of any pixel size.
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", COLOUR)
def test_colour_encodings_give_the_same_rgb(encoding: str, padding: int) -> None:
    stored = COLOUR[encoding]
    step = stored.shape[1] * stored.shape[2] + padding
    image = decode_image(padded(stored, padding), 6, 4, step, encoding)
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
@pytest.mark.parametrize("padding", [0, 3])
def test_mono_is_repeated_in_three_channels(encoding: str, padding: int) -> None:
    image = decode_image(padded(GRAY, padding), 6, 4, 6 + padding, encoding)
    np.testing.assert_array_equal(image, np.dstack([GRAY] * 3))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
@pytest.mark.parametrize("padding", [0, 1])
def test_16_bits_keep_the_upper_8_in_both_byte_orders(
    encoding: str, order: str, padding: int
) -> None:
    values = np.array([[0x0000, 0x00FF, 0x0100], [0x1234, 0xFF00, 0xFFFF]])
    rows = values.astype(order).view(np.uint8)
    data = padded(rows, padding)
    image = decode_image(data, 3, 2, 6 + padding, encoding, is_bigendian=order == ">u2")
    np.testing.assert_array_equal(image[..., 1], [[0, 0, 1], [0x12, 0xFF, 0xFF]])


def mosaic(pattern: str, colour: tuple[int, int, int], size: int = 8) -> np.ndarray:
    """What a sensor with this colour filter sees of a uniform colour."""
    cell = np.array(["rgb".index(name) for name in pattern]).reshape(2, 2)
    return np.array(colour, np.uint8)[np.tile(cell, (size // 2, size // 2))]


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_patterns_are_named_as_ros_names_them(pattern: str, bits: int) -> None:
    colour = (200, 120, 30)  # red, green and blue that cannot be mistaken for one another
    stored = mosaic(pattern, colour)
    if bits == 16:
        stored = (stored.astype("<u2") << 8).view(np.uint8)
    image = decode_image(stored.tobytes(), 8, 8, 8 * bits // 8, f"bayer_{pattern}{bits}")
    np.testing.assert_array_equal(image, np.broadcast_to(colour, image.shape))


def yuv_to_rgb(y: int, u: int, v: int) -> np.ndarray:
    """BT.601, video range: https://www.itu.int/rec/R-REC-BT.601."""
    luma, cb, cr = 255 / 219 * (y - 16), (u - 128) * 255 / 224, (v - 128) * 255 / 224
    rgb = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb]
    return np.clip(np.round(rgb), 0, 255)


YUV = [(81, 90, 240), (145, 54, 34), (41, 240, 110), (235, 128, 128), (16, 128, 128)]


@pytest.mark.parametrize(("y", "u", "v"), YUV)
@pytest.mark.parametrize("padding", [0, 3])
def test_yuv_follows_bt601(y: int, u: int, v: int, padding: int) -> None:
    rows = {
        "yuv422": np.tile(np.array([u, y, v, y], np.uint8), (2, 2)),
        "uyvy": np.tile(np.array([u, y, v, y], np.uint8), (2, 2)),
        "yuv422_yuy2": np.tile(np.array([y, u, y, v], np.uint8), (2, 2)),
        "yuyv": np.tile(np.array([y, u, y, v], np.uint8), (2, 2)),
        "nv12": np.array([[y] * 4, [y] * 4, [u, v, u, v]], np.uint8),
        "nv21": np.array([[y] * 4, [y] * 4, [v, u, v, u]], np.uint8),
    }
    for encoding, stored in rows.items():
        step = stored.shape[1] + padding
        image = decode_image(padded(stored, padding), 4, 2, step, encoding)
        assert image.shape == (2, 4, 3)
        # 2: OpenCV computes in fixed point.
        assert np.abs(image.astype(int) - yuv_to_rgb(y, u, v)).max() <= 2, encoding


def test_yuv422_keeps_the_luma_of_each_pixel() -> None:
    data = bytes([128, 16, 128, 235])
    image = decode_image(data, 2, 1, 4, "yuv422")
    np.testing.assert_array_equal(image[0, :, 1], [0, 255])


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda b: array.array("B", b)])
def test_tight_rgb8_is_a_view_and_not_a_copy(wrap: object) -> None:
    data = wrap(RGB.tobytes())  # type: ignore[operator]
    image = decode_image(data, 6, 4, 18, "rgb8")
    assert np.shares_memory(image, np.frombuffer(data, np.uint8))
    assert image.flags.c_contiguous


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((bytes(71), 6, 4, 18, "rgb8"), ["71 bytes", "need 72"]),
        ((bytes(100), 6, 4, 17, "rgb8"), ["step is 17", "need 18"]),
        ((b"", 0, 4, 0, "rgb8"), ["at least 1x1", "0x4"]),
        ((b"", 6, 4, 18, "mono8"), ["0 bytes", "need 72"]),
        ((bytes(30), 5, 3, 10, "yuv422"), ["even width", "5"]),
        ((bytes(24), 4, 4, 4, "nv12"), []),
        ((bytes(23), 4, 4, 4, "nv12"), ["23 bytes", "need 24"]),
        ((bytes(15), 4, 3, 4, "nv21"), ["even size", "4x3"]),
        (([1, 2, 3], 1, 1, 3, "rgb8"), ["bytes-like", "list"]),
    ],
)
def test_impossible_sizes_are_named(arguments: tuple, words: list[str]) -> None:
    if not words:  # exactly enough
        assert decode_image(*arguments).shape == (4, 4, 3)
        return
    with pytest.raises(EncodingError) as caught:
        decode_image(*arguments)
    assert all(word in str(caught.value) for word in words), caught.value
    assert not caught.value.unknown_encoding


def test_an_unknown_encoding_is_flagged_for_another_decoder() -> None:
    with pytest.raises(EncodingError, match="'32FC1'") as caught:
        decode_image(bytes(400), 10, 10, 40, "32FC1")
    assert caught.value.unknown_encoding
    assert "32FC1" not in ENCODINGS


SMOOTH = cv2.resize(RGB, (64, 48), interpolation=cv2.INTER_LINEAR)


def encoded(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def test_compressed_colour_comes_out_as_rgb() -> None:
    bgr = cv2.cvtColor(SMOOTH, cv2.COLOR_RGB2BGR)
    np.testing.assert_array_equal(decode_compressed(encoded(".png", bgr), "png"), SMOOTH)
    jpeg = decode_compressed(encoded(".jpg", bgr), "rgb8; jpeg compressed bgr8")
    assert np.abs(jpeg.astype(int) - SMOOTH).mean() < 3  # JPEG at quality 95


def test_png_with_16_bits_alpha_or_gray_becomes_8_bit_rgb() -> None:
    deep = SMOOTH[..., ::-1].astype(np.uint16) * 256 + 255
    np.testing.assert_array_equal(decode_compressed(encoded(".png", deep)), SMOOTH)
    np.testing.assert_array_equal(
        decode_compressed(encoded(".png", with_alpha(SMOOTH[..., ::-1]))), SMOOTH
    )
    gray = encoded(".png", SMOOTH[..., 0].astype(np.uint16) << 8)
    np.testing.assert_array_equal(decode_compressed(gray)[..., 2], SMOOTH[..., 0])


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("part", [0.2, 0.6, 0.95, 1.0])
def test_truncated_files_are_an_error_and_no_half_gray_image(suffix: str, part: float) -> None:
    whole = encoded(suffix, SMOOTH)
    cut = whole[: min(int(len(whole) * part), len(whole) - 2)]
    with pytest.raises(EncodingError, match="truncated"):
        decode_compressed(cut, "jpeg")


def test_bytes_behind_a_whole_jpeg_do_no_harm() -> None:
    assert decode_compressed(encoded(".jpg", SMOOTH) + bytes(37)).shape == SMOOTH.shape


@pytest.mark.parametrize(
    ("data", "format", "match"),
    [
        (b"", "jpeg", "0 bytes is neither JPEG nor PNG"),
        (b"\x00\x00\x00\x01\x67", "h264", "neither JPEG nor PNG: it begins with 00 00 00 01"),
        (b"\xff\xd8\xff\xda\xff\xd9", "jpeg", "truncated"),
        (encoded(".png", SMOOTH), "16UC1; compressedDepth png", "depth image"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, format: str, match: str) -> None:
    with pytest.raises(EncodingError, match=match):
        decode_compressed(data, format)


RAMP = np.linspace(0, 255, 64).astype(np.uint16)[None].repeat(8, 0)


def in_bits(levels: np.ndarray, bits: int) -> np.ndarray:
    """8-bit levels as a sensor of so many bits sends them, aligned right in 16."""
    return ((levels << 8 | levels) >> (16 - bits)).astype(np.uint16)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(
    ("encoding", "order"), [("mono16", "<u2"), ("mono16", ">u2"), ("16UC1", "<u2")]
)
def test_the_picture_is_in_the_bits_that_the_sensor_has(
    bits: int, encoding: str, order: str
) -> None:
    data = in_bits(RAMP, bits).astype(order).tobytes()
    image = decode_image(data, 64, 8, 128, encoding, order == ">u2", BitDepth())
    np.testing.assert_array_equal(image[..., 0], RAMP)


@pytest.mark.parametrize("bits", [10, 12])
def test_a_bayer_sensor_of_few_bits_keeps_its_levels(bits: int) -> None:
    flat = np.full((8, 8), 200, np.uint16)
    image = decode_image(
        in_bits(flat, bits).tobytes(), 8, 8, 16, "bayer_rggb16", bit_depth=BitDepth()
    )
    assert (image == 200).all()


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_png_of_few_bits_keeps_its_levels(bits: int) -> None:
    """Thermal cameras, and mono16 through image_transport's PNG."""
    for stored in (in_bits(RAMP, bits), np.dstack([in_bits(RAMP, bits)] * 3)):
        image = decode_compressed(encoded(".png", stored), "mono16; png", bit_depth=BitDepth())
        np.testing.assert_array_equal(image[..., 1], RAMP)


def test_brightness_does_not_follow_the_content(caplog: pytest.LogCaptureFixture) -> None:
    """A dark frame after a bright one has the bits of the stream, not its own."""
    bit_depth = BitDepth("mono16 of 'left'")
    for level, expected in ((0, 0), (255, 255), (16, 16), (3, 3)):
        frame = in_bits(np.full((4, 4), level, np.uint16), 12)
        with caplog.at_level(logging.WARNING):
            assert (bit_depth.upper_byte(frame) == expected).all()
    assert caplog.text.count("mono16 of 'left'") == 1
    # Once a value needs more bits, there are more.
    assert bit_depth.upper_byte(np.array([65535], np.uint16)) == 255
    assert bit_depth.upper_byte(np.array([4095], np.uint16)) == 15


def jpeg(quality: int = 95) -> bytes:
    noise = np.random.default_rng(3).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def test_data_behind_the_end_of_a_picture_does_not_count() -> None:
    """Phones append a film, stereo cameras a second picture; a whole picture is whole."""
    film = bytes(range(256)) * 20 + b"\xff\xda" + b"x" * 50
    second_cut = jpeg()[:-40]
    for tail in (film, second_cut, b"\xff\xda", bytes(4096)):
        assert decode_compressed(jpeg() + tail, "jpeg").shape == (40, 60, 3)
        png = encoded(".png", SMOOTH)
        assert decode_compressed(png + tail, "png").shape == SMOOTH.shape


def test_a_picture_without_its_own_end_is_truncated() -> None:
    gray = np.random.default_rng(1).integers(0, 255, (40, 60), dtype=np.uint8)
    progressive = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    restarts = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
    for whole in (jpeg(), progressive, restarts, encoded(".png", SMOOTH)):
        decode_compressed(whole)
        with pytest.raises(EncodingError, match="truncated"):
            decode_compressed(whole[: len(whole) * 2 // 3])
