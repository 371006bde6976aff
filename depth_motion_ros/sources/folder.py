"""A plain folder of images, as cameras, phones and data sets leave them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.base import Source, check_rate, is_date, rate_of, stamp_of_index
from depth_motion_ros.sources.encodings import BitDepth
from depth_motion_ros.sources.files import read_image
from depth_motion_ros.sources.frame import Frame, SourceError
from depth_motion_ros.sources.series import is_deep, pictures_of
from depth_motion_ros.sources.timestamps import read_stamps

_SAMPLES = 8


class FolderSource(Source):
    """JPEG and PNG files in natural order (frame_2 before frame_10).

    Of a folder that holds depth maps or masks as well, the pictures (see ``pictures_of``). An EXIF
    orientation is applied, unless ``camera`` fits the stored pixels only.
    Stamps come from timestamps.txt (one line an image, see ``read_stamps``) in the folder or the
    one above, and then the images come in order of time; else from ``rate`` (frames per second),
    else from 10 a second.
    camera: intrinsics of all images, where the caller knows them.

    Raises SourceError for a folder without images, or with several series of which none is the
    colour images alone; while iterating, for a damaged file.
    """

    def __init__(
        self, path: str | Path, *, rate: float | None = None, camera: Camera | None = None
    ) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise SourceError(f"{self.path}: not a folder")
        self.images = pictures_of(self.path)
        if not self.images:
            raise SourceError(f"{self.path}: no JPEG or PNG files in this folder")
        super().__init__(self.path.name, check_rate(rate), len(self.images))
        self.camera = camera
        stamps = self._read_stamps()
        if stamps is None:
            self.stamps = [stamp_of_index(index, self.rate) for index in range(len(self.images))]
            return
        in_order = sorted(zip(stamps, self.images, strict=True), key=lambda pair: pair[0])
        self.stamps, self.images = [s for s, _ in in_order], [path for _, path in in_order]
        self.rate = self.rate or rate_of(stamps)
        self.has_clock = is_date(self.stamps[0])

    def __iter__(self) -> Iterator[Frame]:
        bit_depth = self._bit_depth()
        for stamp, path in zip(self.stamps, self.images, strict=True):
            image = read_image(path, bit_depth=bit_depth, upright=True)
            if self.camera is not None and image.shape[1::-1] != self.camera.size:
                image = read_image(path, bit_depth=bit_depth)
            if self.camera is not None and image.shape[1::-1] != self.camera.size:
                raise SourceError(
                    f"{path}: the image is {image.shape[1]}x{image.shape[0]}, the given camera "
                    f"is for {self.camera.width}x{self.camera.height}"
                )
            yield Frame(stamp, image, self.camera)

    def _bit_depth(self) -> BitDepth:
        """Of all images: the first ones may be dark."""
        bit_depth = BitDepth(str(self.path))
        if is_deep(self.images[0]):
            for path in self.images[:: max(1, len(self.images) // _SAMPLES)]:
                with suppress(SourceError):  # named when it is its turn
                    read_image(path, bit_depth=bit_depth)
        return bit_depth

    def _read_stamps(self) -> list[int] | None:
        for folder in (self.path, self.path.parent):
            path = folder / "timestamps.txt"
            if path.is_file():
                return read_stamps(path, len(self.images), self.rate)
        return None
