"""Intrinsics from the file that ROS calibration tools write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from depth_motion_ros.geometry.camera import Camera, CameraError
from depth_motion_ros.sources.frame import SourceError


def read_camera_file(path: str | Path) -> Camera:
    """Camera of a camera_info YAML file (camera_calibration, camera_info_manager).

    Raises SourceError where the file cannot be read or describes no camera.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
        distortion = content.get("distortion_coefficients") or {"data": []}
        return Camera(
            np.array(content["camera_matrix"]["data"], np.float64).reshape(3, 3),
            int(content["image_width"]),
            int(content["image_height"]),
            np.array(distortion["data"], np.float64),
            str(content.get("distortion_model") or "plumb_bob"),
        )
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SourceError(f"{path}: cannot read this camera file: {error}") from error
    except KeyError as error:
        raise SourceError(
            f"{path}: no {error} in this camera file; it needs image_width, image_height, "
            "camera_matrix, distortion_model and distortion_coefficients"
        ) from error
    except (AttributeError, TypeError, ValueError, CameraError) as error:
        raise SourceError(f"{path}: no valid camera: {error}") from error
