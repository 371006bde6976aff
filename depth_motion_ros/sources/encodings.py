"""Pixels of image messages and image files as (H, W, 3) uint8 RGB, without ROS.

The encoding names are those of ``sensor_msgs/image_encodings``. What has more than 8 bits keeps
the upper 8 of those that the stream uses (see BitDepth), so that brightness does not change from
frame to frame with the content. YUV is BT.601 in the video range (16-235), as cameras send it and
cv_bridge reads it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_log = logging.getLogger(__name__)

# OpenCV names a Bayer pattern by the second row's second and third pixel; ROS by the first two
# rows' first two. rggb is therefore OpenCV's "BG".
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

# encoding: (channels, conversion to RGB, None = is RGB). 8UCn is OpenCV's order, blue first.
_PACKED: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
    "yuv422": (2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2RGB_YUY2),
    **{f"bayer_{name}8": (1, code) for name, code in _BAYER.items()},
}
_PACKED_16 = {
    "mono16": cv2.COLOR_GRAY2RGB,
    "16UC1": cv2.COLOR_GRAY2RGB,
    **{f"bayer_{name}16": code for name, code in _BAYER.items()},
}
_PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
_CHROMA_PAIRS = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")

ENCODINGS = (*_PACKED, *_PACKED_16, *_PLANAR)
"""Every encoding that ``decode_image`` reads."""


MOST_PIXELS = 100_000_000
"""Of a compressed image: a file of a few bytes can claim a size that fills the memory."""


class BitDepth:
    """How many of their 16 bits the images of one stream use: 8, 10, 12, 14 or 16.

    Sensors of 10, 12 and 14 bits are often sent in 16, right-aligned: of a 10-bit one the upper
    byte alone would have four levels. The largest value so far tells; the number only grows.
    """

    def __init__(self, name: str = "16-bit images") -> None:
        self._name = name
        self._bits = 0

    def upper_byte(self, values: NDArray[Any]) -> Pixels:
        """The upper 8 of the bits in use. values: 16 bits, any shape and byte order."""
        largest = int(values.max(initial=0))
        bits = next(bits for bits in (8, 10, 12, 14, 16) if largest < 1 << bits)
        if largest and bits > self._bits:
            if bits < 16 or self._bits:
                _log.warning(
                    "%s: no value is above %d of 65535: treated as %d bits, right-aligned",
                    *(self._name, largest, bits),
                )
            self._bits = bits
        return (values >> ((self._bits or 16) - 8)).astype(np.uint8)


class EncodingError(ValueError):
    """Image data that cannot be decoded; the message says what is wrong, with the values.

    unknown_encoding: the data may be sound, but its encoding is not one of ``ENCODINGS``:
        another decoder (cv_bridge) may know it.
    """

    def __init__(self, message: str, *, unknown_encoding: bool = False) -> None:
        super().__init__(message)
        self.unknown_encoding = unknown_encoding


def decode_image(
    data: Any,
    width: int,
    height: int,
    step: int,
    encoding: str,
    is_bigendian: bool | int = False,
    bit_depth: BitDepth | None = None,
) -> Pixels:
    """RGB pixels of the fields of a ``sensor_msgs/Image``.

    data: bytes-like (bytes, memoryview, array.array, ndarray of uint8).
    step: bytes from one row to the next; rows may be padded by any number of bytes.
    is_bigendian: matters for 16-bit encodings only.
    bit_depth: of the stream that a 16-bit image belongs to; None = all 16 are in use.

    Returns (height, width, 3) uint8. For rgb8 it is a view of ``data`` (read-only where that
    is), contiguous when the rows are not padded; every other encoding gives a new array.

    Raises EncodingError for an unknown encoding, a size of zero, a step smaller than a row,
    or fewer bytes than the rows need.
    """
    if width < 1 or height < 1:
        raise EncodingError(f"image size must be at least 1x1, got {width}x{height}")
    if encoding in _PLANAR:
        return _decode_planar(data, width, height, step, encoding)
    if encoding in _PACKED:
        channels, conversion = _PACKED[encoding]
        if encoding in _CHROMA_PAIRS and width % 2:
            raise EncodingError(f"{encoding} needs an even width, got {width}")
        rows = _rows(data, (height, width, channels), step, encoding)
        if conversion is None:
            return rows
        return _convert(rows, conversion)
    if encoding in _PACKED_16:
        rows = _rows(data, (height, width, 2), step, encoding)
        if bit_depth is None:
            upper = np.ascontiguousarray(rows[..., 0 if is_bigendian else 1])
        else:
            values = np.ascontiguousarray(rows).view(">u2" if is_bigendian else "<u2")
            upper = bit_depth.upper_byte(values[..., 0])
        return _convert(upper, _PACKED_16[encoding])
    raise EncodingError(
        f"unknown image encoding {encoding!r}; known: {', '.join(ENCODINGS)}",
        unknown_encoding=True,
    )


def decode_compressed(
    data: Any, format: str = "", *, bit_depth: BitDepth | None = None, upright: bool = False
) -> Pixels:
    """RGB pixels of a JPEG or PNG file, or of the data of a ``sensor_msgs/CompressedImage``.

    format: what the message says of its data ("jpeg", "bgr8; png compressed bgr8", ...); used
    in messages only, since the data itself tells JPEG from PNG. 16-bit PNG gives its upper 8
    bits, an alpha channel is dropped.
    bit_depth: of the stream that a 16-bit PNG belongs to; None = all 16 are in use.
    upright: apply an EXIF orientation. As a rule intrinsics belong to the stored pixels.

    Returns (H, W, 3) uint8. Raises EncodingError for data that is empty, truncated, damaged,
    neither JPEG nor PNG, or of more than ``MOST_PIXELS``.
    """
    buffer = _bytes(data)
    raw = buffer.tobytes()
    label = f" (format {format!r})" if format else ""
    if "compressedDepth" in format:
        raise EncodingError(f"format {format!r} is a depth image, not a camera's picture")
    for magic, is_whole, size_of, kind in _FILE_KINDS:
        if raw.startswith(magic):
            if not is_whole(raw):
                raise EncodingError(f"the {kind} data{label} is truncated at {len(raw)} bytes")
            width, height = size_of(raw)
            if width * height > MOST_PIXELS:
                raise EncodingError(
                    f"the {kind} data{label} claims {width}x{height} pixels, more than the "
                    f"{MOST_PIXELS} that are decoded here"
                )
            break
    else:
        head = raw[:8].hex(" ") or "nothing"
        raise EncodingError(
            f"the data{label} of {len(raw)} bytes is neither JPEG nor PNG: it begins with {head}",
            unknown_encoding=len(raw) > 0,
        )
    try:
        image = cv2.imdecode(
            buffer,
            cv2.IMREAD_COLOR
            | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
            | (0 if bit_depth is None else cv2.IMREAD_ANYDEPTH),
        )
    except cv2.error as error:
        raise EncodingError(f"the {kind} data{label} is damaged: {error.err}") from error
    if image is None:
        raise EncodingError(f"the {kind} data{label} of {len(raw)} bytes is damaged")
    if image.dtype == np.uint16 and bit_depth is not None:
        image = bit_depth.upper_byte(image)
    return _convert(image, cv2.COLOR_BGR2RGB)


def _decode_planar(data: Any, width: int, height: int, step: int, encoding: str) -> Pixels:
    """4:2:0: a plane of luma, then one of half the rows with interleaved chroma."""
    if width % 2 or height % 2:
        raise EncodingError(f"{encoding} needs an even size, got {width}x{height}")
    rows = _rows(data, (height * 3 // 2, width, 1), step, encoding)
    return _convert(np.ascontiguousarray(rows), _PLANAR[encoding])


def _rows(data: Any, shape: tuple[int, int, int], step: int, encoding: str) -> Pixels:
    """A (height, width, channels) view of rows that lie ``step`` bytes apart."""
    height, width, channels = shape
    if step < width * channels:
        raise EncodingError(
            f"step is {step} bytes, but {width} pixels of {encoding} need {width * channels}"
        )
    buffer = _bytes(data)
    if buffer.size < step * height:
        raise EncodingError(
            f"{buffer.size} bytes of data, but {height} rows of {step} bytes ({encoding}) "
            f"need {step * height}"
        )
    return np.ndarray(shape, np.uint8, buffer, strides=(step, channels, 1))


def _bytes(data: Any) -> Pixels:
    """A flat uint8 view of anything bytes-like."""
    try:
        return np.frombuffer(data, np.uint8)
    except ValueError:  # zero bytes are no buffer to numpy
        return np.empty(0, np.uint8)
    except TypeError as error:
        raise EncodingError(f"data must be bytes-like, got {type(data).__name__}") from error


def _convert(pixels: Any, conversion: int) -> Pixels:
    try:
        return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)
    except cv2.error as error:
        raise EncodingError(f"cannot convert pixels of shape {pixels.shape}: {error}") from error


# In entropy-coded data FF is followed by 0, or by the number of a restart (ITU-T T.81, F.1.2.3).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether its own end is there; behind it phones put a film, cameras a second picture."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        at, marker = found.end(), data[found.start() + 1]
        if marker == 0xD9:
            return True
        if marker not in (0x01, 0xD8):
            # A segment, a thumbnail in it included, is skipped by its length.
            at += int.from_bytes(data[at : at + 2], "big")
    return False


def _png_is_whole(data: bytes) -> bool:
    """Whether its own last chunk is there, by the lengths of the chunks."""
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + length
    return False


def _png_size(data: bytes) -> tuple[int, int]:
    """Width and height of the IHDR chunk, which is always the first."""
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The largest frame header (SOF) before the first scan; (0, 0) where there is none."""
    width = height = 0
    at = 2
    # Bytes between two segments are skipped, as libjpeg skips them.
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 <= len(data):
        marker = data[at + 1]
        if marker == 0xDA:
            break
        # Fill bytes, and markers that stand alone, have no length.
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        # C4, C8 and CC are tables, not frames (ITU-T T.81, table B.1).
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            rows = int.from_bytes(data[at + 5 : at + 7], "big")
            columns = int.from_bytes(data[at + 7 : at + 9], "big")
            if rows * columns > width * height:
                width, height = columns, rows
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return width, height


_FILE_KINDS: tuple[
    tuple[bytes, Callable[[bytes], bool], Callable[[bytes], tuple[int, int]], str], ...
] = (
    (b"\xff\xd8\xff", _jpeg_is_whole, _jpeg_size, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", _png_is_whole, _png_size, "PNG"),
)
