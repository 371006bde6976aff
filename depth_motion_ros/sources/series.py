"""Which files of a folder are one camera's pictures, where several series lie side by side."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from depth_motion_ros.sources.files import list_images
from depth_motion_ros.sources.frame import SourceError

_log = logging.getLogger(__name__)

# What is made from a picture, or beside it, and is none.
_MAPS = re.compile(
    r"(?<![a-z])(depth|disp|disparity|mask|label|labels|seg|segmentation|semantic|instance|"
    r"instances|conf|confidence|normal|normals|flow|ir|infrared)(?![a-z])"
)
_GRAY = 0
_NUMBER = re.compile(r"\d+")
_PNG = b"\x89PNG\r\n\x1a\n"


def pictures_of(folder: Path) -> list[Path]:
    """The pictures among the JPEG and PNG files of a folder, in natural order.

    One-channel PNGs of 16 bits beside other images are depth maps. Files with the same numbers
    and other names (0001.jpg and 0001_mask.png) are several series: those called a map (depth,
    mask, label, ...) are left out. What is left out is logged.

    Raises SourceError where more than one series remains (left and right, a JPEG of every PNG).
    """
    images = list_images(folder)
    deep = {path for path in images if is_deep(path, gray=True)}
    if deep and len(deep) < len(images):
        images = [path for path in images if path not in deep]
        _report(folder, len(images), len(deep), "one-channel PNG files of 16 bits (depth maps?)")
    series = _series(images)
    if len(series) == 1:
        return images
    pictures = {name: paths for name, paths in series.items() if not _MAPS.search(name)}
    if len(pictures) != 1:
        listed = ", ".join(f"{name} ({len(paths)})" for name, paths in series.items())
        raise SourceError(
            f"{folder}: several series of images with the same numbers: {listed}. Move all but one "
            "camera's colour images to folders of their own"
        )
    ((kept, paths),) = pictures.items()
    others = ", ".join(name for name in series if name != kept)
    _report(folder, len(paths), len(images) - len(paths), f"others ({others})")
    return paths


def _report(folder: Path, kept: int, left_out: int, what: str) -> None:
    _log.warning("%s: %d images; %d %s are left out", folder, kept, left_out, what)


def _series(images: list[Path]) -> dict[str, list[Path]]:
    """Files by their names without numbers; one series where the numbers do not overlap."""
    by_name: dict[str, list[Path]] = {}
    numbers: dict[str, set[tuple[int, ...]]] = {}
    for path in images:
        name = _NUMBER.sub("#", path.name.lower())
        by_name.setdefault(name, []).append(path)
        own = tuple(int(number) for number in _NUMBER.findall(path.name))
        numbers.setdefault(name, set()).add(own)
    # Where every name is another, as of hashes, there is no series.
    names = [name for name in by_name if len(numbers[name]) > 1]
    for index, name in enumerate(names):
        for other in names[:index]:
            common = len(numbers[name] & numbers[other])
            # Not one file: 1.jpg beside 1.png is chance.
            if common > 1 and 2 * common >= min(len(numbers[name]), len(numbers[other])):
                return by_name
    return {"": images}


def is_deep(path: Path, gray: bool = False) -> bool:
    """Whether this is a PNG of 16 bits, by its header. gray: and of one channel."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with path.open("rb") as file:
            header = file.read(26)
    except OSError:
        return False  # reading the picture will say so
    is_png = header.startswith(_PNG) and len(header) == 26
    return is_png and header[24] == 16 and (not gray or header[25] == _GRAY)
