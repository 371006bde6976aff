"""What a frame shows to the sources of scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.inference import StampedView
from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.estimation.scale.drift_filter import ScaleDriftFilter
from depth_motion_ros.estimation.scale.source import ScaleObservation
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera


def observation(
    stamp: int,
    depth: NDArray[np.float32],
    camera: Camera,
    previous: StampedView | None,
    pair: PairMotion | None,
    unit: ScaleDriftFilter,
) -> ScaleObservation:
    """What a frame and its pair with the one before show to a source of scale.

    depth: (H, W), in the unit of the pair. unit: the filter that holds that unit.
    """
    seen = ScaleObservation(
        stamp, depth, camera, unit_change=unit.change, unit_variance=unit.variance_since
    )
    if previous is None or pair is None or pair.quality.tracking == "lost":
        return seen
    motion = se3.transform(pair.rotation, pair.translation)
    seen = replace(seen, previous_stamp=previous.stamp, motion=motion)
    if pair.triangulated is None:
        return seen
    points = pair.triangulated.points(camera) * np.float32(unit.factor)
    return replace(seen, points=points, point_variance=pair.triangulated.variance)
