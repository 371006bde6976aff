"""The scale source that the settings ask for."""

from __future__ import annotations

from depth_motion_ros.estimation.scale.camera_height import CameraHeightScale
from depth_motion_ros.estimation.scale.odometry import OdometryScale
from depth_motion_ros.estimation.scale.source import (
    ConstantScale,
    FirstKnown,
    ScaleSource,
    UnitUntilKnown,
)
from depth_motion_ros.estimation.settings import EstimatorSettings


def choose_scale_source(settings: EstimatorSettings, odometry: OdometryScale) -> ScaleSource:
    """odometry: used if the settings allow it; feed it with ``add``."""
    return UnitUntilKnown(_asked_for(settings, odometry), settings.unit)


def _asked_for(settings: EstimatorSettings, odometry: OdometryScale) -> ScaleSource:
    constant = ConstantScale(settings.scale or None)
    if settings.scale_source == "constant":
        return constant
    if settings.scale_source == "odometry":
        return odometry
    if settings.scale_source == "camera_height":
        return CameraHeightScale(settings.height, settings.base_from_camera)
    sources: list[ScaleSource] = [odometry]
    # The height of the base is unknown here: only a stated camera height counts.
    if settings.camera_height > 0:
        sources.append(CameraHeightScale(settings.camera_height, settings.base_from_camera))
    return FirstKnown([*sources, constant])
