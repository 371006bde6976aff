"""Image and CompressedImage messages as RGB pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.sources.encodings import (
    BitDepth,
    EncodingError,
    decode_compressed,
    decode_image,
)

Pixels = NDArray[np.uint8]


class BadImageError(ValueError):
    """A message that holds no usable image. cause: a short, constant name of what is wrong."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class StreamDecoder:
    """Decodes the messages of one topic, and remembers how many bits its 16-bit images use.

    decode: ``image_to_rgb`` or ``compressed_to_rgb``. Another frame_id, encoding or size is another
    camera.
    """

    def __init__(self, decode: Callable[[Any, BitDepth], Pixels]) -> None:
        self._decode = decode
        self._camera: tuple[Any, ...] | None = None
        self._bit_depth = BitDepth()

    def __call__(self, message: Any) -> Pixels:
        """(height, width, 3) uint8 RGB. Raises BadImageError."""
        fields = ("encoding", "format", "width", "height")
        kind = tuple(getattr(message, name, None) for name in fields)
        camera = (message.header.frame_id, *kind)
        if camera != self._camera:
            self._camera = camera
            self._bit_depth = BitDepth(f"{kind[0] or kind[1]} of {message.header.frame_id!r}")
        return self._decode(message, self._bit_depth)


def image_to_rgb(message: Any, bit_depth: BitDepth | None = None) -> Pixels:
    """(height, width, 3) uint8 RGB of a ``sensor_msgs/Image``; for rgb8 a view of its data.

    Encodings that this package does not decode itself are left to cv_bridge, if there is one.
    Raises BadImageError.
    """
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise BadImageError("zero size", f"the image is {width}x{height}")
    if len(message.data) < step * height:
        raise BadImageError(
            "short data",
            f"{len(message.data)} bytes, but step {step} x height {height} need {step * height}",
        )
    try:
        return decode_image(
            message.data, width, height, step, message.encoding, message.is_bigendian, bit_depth
        )
    except EncodingError as error:
        if not error.unknown_encoding:
            raise BadImageError("undecodable", str(error)) from error
        return _with_cv_bridge(message, error)


def compressed_to_rgb(message: Any, bit_depth: BitDepth | None = None) -> Pixels:
    """(height, width, 3) uint8 RGB of a ``sensor_msgs/CompressedImage``. Raises BadImageError."""
    if len(message.data) == 0:
        raise BadImageError("short data", "the compressed image has no data")
    try:
        return decode_compressed(message.data, message.format, bit_depth=bit_depth)
    except EncodingError as error:
        cause = "unknown encoding" if error.unknown_encoding else "undecodable"
        raise BadImageError(cause, str(error)) from error


def _with_cv_bridge(message: Any, reason: EncodingError) -> Pixels:
    try:
        from cv_bridge import CvBridge
    except Exception as error:
        # A cv_bridge built for NumPy 1 fails with other errors than ImportError.
        raise BadImageError(
            "unknown encoding",
            f"{reason}. cv_bridge might know it but cannot be imported ({error})",
        ) from error
    try:
        image = CvBridge().imgmsg_to_cv2(message, "rgb8")
    except Exception as error:
        raise BadImageError("unknown encoding", f"{reason}; nor does cv_bridge: {error}") from error
    return np.ascontiguousarray(image, dtype=np.uint8)
