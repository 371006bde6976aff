"""Intrinsics from the calibration files of ROS, OpenCV, Kalibr, ORB-SLAM, VINS and ourselves."""

from __future__ import annotations

import logging
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from depth_motion_ros.geometry.camera import RECTIFIED_WITHOUT_P, Camera, CameraError, is_given
from depth_motion_ros.geometry.lens import EQUIDISTANT, PLUMB_BOB, RATIONAL, model_of_name
from depth_motion_ros.sources.frame import SourceError

_log = logging.getLogger(__name__)

# Keys in lower case, without anything but letters and digits: writers agree on nothing else.
_K = ("cameramatrix", "k", "intrinsicmatrix", "m1")
_D = (
    *("distortioncoefficients", "distortioncoeffs", "distcoeffs", "distcoefs", "distortion"),
    *("d", "d1"),
)
_P = ("projectionmatrix", "p")
_WIDTH = ("imagewidth", "width", "imagesizewidth")
_HEIGHT = ("imageheight", "height", "imagesizeheight")
_SIZE = ("resolution", "imagesize")
_ONE_OF_SEVERAL = re.compile(r"(cam|camera)(\d|left|right)|left|right")
_FLAT = ("fx", "fy", "cx", "cy")
# Keys end so that name the lens, and keys that may name something else (a brand, a sensor).
_LENS = ("distortionmodel", "distortiontype", "modeltype", "lensmodel", "lens", "projectionmodel")
_MAYBE_LENS = ("model", "type")
_OTHER_LENSES = ("omni", "mei", "ds", "eucm", "fov", "atan", "ftheta", "scaramuzza", "doublesphere")
_READ = (
    "read are the YAML of camera_calibration, of OpenCV (also XML), Kalibr, ORB-SLAM and VINS, "
    "and intrinsics.json"
)


def read_camera_file(path: str | Path, *, rectified: bool = False) -> Camera:
    """Camera of a calibration file; of several in one (Kalibr, stereo) the first.

    rectified: the images are rectified already: the file's projection matrix holds, else K.

    Raises SourceError where the file cannot be read, describes no camera, or leaves open what
    lens it is.
    """
    path = Path(path)
    try:
        values = _first_camera(_parse(path))
        model, coefficients = _lens_of(values)
        K, P = _matrix_of(values), _first(values, _P)
        if rectified and not is_given(P) and np.any(coefficients):
            _log.warning("%s: %s", path, RECTIFIED_WITHOUT_P)
        return Camera.from_calibration(
            K, *_size_of(values), coefficients, model, P=P, rectified=rectified
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ElementTree.ParseError) as error:
        raise SourceError(f"{path}: cannot read this camera file: {error}; {_READ}") from error
    except KeyError as error:
        raise SourceError(f"{path}: no {error.args[0]} in this camera file; {_READ}") from error
    except (AttributeError, TypeError, ValueError, OverflowError, CameraError) as error:
        raise SourceError(f"{path}: no valid camera: {error}") from error


def _parse(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("<"):
        if "<!ENTITY" in text:
            raise ValueError("an XML file with entities is not read")
        content = _of_xml(ElementTree.fromstring(text))
    else:
        # OpenCV's own first line, %YAML:1.0, is not YAML; its matrices are plain mappings.
        lines = (line for line in text.splitlines() if not line.startswith("%"))
        content = yaml.safe_load("\n".join(lines).replace("!!opencv-matrix", ""))
    if not isinstance(content, dict):
        raise ValueError(f"this is no list of keys and values; {_READ}")
    return content


def _of_xml(element: ElementTree.Element) -> Any:
    """OpenCV's XML: nested elements; numbers in rows."""
    if len(element):
        return {child.tag: _of_xml(child) for child in element}
    return _plain((element.text or "").strip())


def _plain(text: str) -> Any:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        return text.strip('"')
    return numbers[0] if len(numbers) == 1 else numbers or ""


def _first_camera(content: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in their plain form; those of the first camera where there are several."""
    values = {_plain_key(key): value for key, value in _flattened(content)}
    # ORB-SLAM's Camera.width belongs to all of them.
    values = {**_below("camera", values), **values}
    for prefix in ("camera1", "camera0", "cam0", "cam1", "left", "cameraleft"):
        of_one = _below(prefix, values)
        if _describes(of_one) and not _describes(values):
            shared = {k: v for k, v in values.items() if not _ONE_OF_SEVERAL.match(k)}
            return {**shared, **of_one}
    return values


def _below(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


def _describes(values: Mapping[str, Any]) -> bool:
    return _first(values, _K) is not None or "fx" in values or "intrinsics" in values


def _flattened(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if "data" in value:
                yield name, np.asarray(value["data"], np.float64).reshape(-1)
                continue
            yield from _flattened(value, f"{name}.")
        else:
            yield name, value


def _plain_key(key: Any) -> str:
    plain = re.sub(r"[^a-z0-9]", "", str(key).lower())
    for outer in ("projectionparameters", "distortionparameters"):  # VINS
        plain = plain.removeprefix(outer)
    return plain


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    for name in names:
        if name in values:
            return values[name]
    return None


def _matrix_of(values: Mapping[str, Any]) -> Any:
    K = _first(values, _K)
    if K is None and "intrinsics" in values:  # Kalibr
        numbers = [float(value) for value in values["intrinsics"]]
        if len(numbers) != 4:
            raise ValueError(f"intrinsics must be fx, fy, cx, cy, got {numbers}")
        K = _from_flat(numbers)
    if K is None and "fx" in values:
        K = _from_flat([float(values[name]) for name in _FLAT])
    if K is None and {"mu", "mv", "u0", "v0"} <= values.keys():  # VINS, Kannala-Brandt
        K = _from_flat([float(values[name]) for name in ("mu", "mv", "u0", "v0")])
    if K is None:
        raise KeyError("camera_matrix, intrinsics, or fx, fy, cx, cy")
    return np.asarray(K, np.float64).reshape(-1)


def _from_flat(numbers: list[float]) -> list[float]:
    fx, fy, cx, cy = numbers
    return [fx, 0, cx, 0, fy, cy, 0, 0, 1]


def _size_of(values: Mapping[str, Any]) -> tuple[int, int]:
    size = _first(values, _SIZE)
    if size is not None and np.size(size) == 2:
        return int(size[0]), int(size[1])
    width, height = _first(values, _WIDTH), _first(values, _HEIGHT)
    if width is None or height is None:
        raise KeyError("size of the image (image_width and image_height)")
    return int(width), int(height)


def _lens_of(values: Mapping[str, Any]) -> tuple[str, Any]:
    """(model, coefficients). Raises CameraError where the file contradicts itself."""
    said = _said_models(values)
    D = _first(values, _D)
    if D is None:
        D, tangential = _named_coefficients(values, said)
        if tangential:
            said.add(tangential)
    if len(said) > 1:
        raise CameraError(f"the file names several distortion models: {', '.join(sorted(said))}")
    return (said.pop() if said else ""), np.asarray(D, np.float64).reshape(-1)


def _named_coefficients(
    values: Mapping[str, Any], said: set[str]
) -> tuple[list[float], str | None]:
    """Those written one by one, and the model where the names tell: p1 and p2 are tangential."""
    if "p1" in values:
        model = RATIONAL if "k4" in values else PLUMB_BOB
        names = ["k1", "k2", "p1", "p2", "k3", *(("k4", "k5", "k6") if "k4" in values else ())]
        return [float(values.get(name, 0.0)) for name in names], model
    # VINS counts the coefficients of Kannala and Brandt from k2.
    first = 2 if said == {EQUIDISTANT} and "k1" not in values else 1
    names = [f"k{number}" for number in range(first, first + 4)]
    return [float(values[name]) for name in names if name in values], None


def _said_models(values: Mapping[str, Any]) -> set[str]:
    """Every lens model that the file names, by whatever key."""
    said: set[str | None] = set()
    for key, value in values.items():
        if "fisheye" in key and isinstance(value, bool | int | float):
            said.add(EQUIDISTANT if value else PLUMB_BOB)  # OpenCV's sample: fisheye_model: 1
        elif isinstance(value, str) and key.endswith(_LENS):
            said.add(model_of_name(value))
        elif isinstance(value, str) and key.endswith(_MAYBE_LENS):
            is_other = _plain_key(value) in _OTHER_LENSES
            with suppress(*() if is_other else (CameraError,)):
                said.add(model_of_name(value))
    return {model for model in said if model is not None}
