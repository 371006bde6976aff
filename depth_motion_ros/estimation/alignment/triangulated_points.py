"""Points triangulated by two frames, and the change of unit that they show in the next pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.depth_correction import DEPTH_COSINES, smooth_part
from depth_motion_ros.estimation.alignment.epipolar import TrackedMotion
from depth_motion_ros.estimation.alignment.gauss_newton import median
from depth_motion_ros.estimation.alignment.template import Floats
from depth_motion_ros.estimation.alignment.tracks import Tracks
from depth_motion_ros.geometry.camera import Camera

# Fewest common points that compare two units.
_MIN_SHARED_POINTS = 20
# Of a depth at best: a point of one frame is up to half a pixel beside that of the other.
_MIN_DEPTH_RELATIVE_STD = 0.02
# A less certain depth does not count as triangulated: while the camera hardly moves, its logarithm
# would have a bias.
_MAX_DEPTH_RELATIVE_STD = 0.25
# Number of neighbouring ratios with correlated errors, and the least variance of their mean.
_CORRELATED_RATIOS, _MIN_LOG_RATIO_VARIANCE = 5.0, 0.005**2
_STUDENT_T_DOF = 4.0


@dataclass(frozen=True, eq=False)
class TriangulatedPoints:
    """N points triangulated by two frames, in the unit of the second one's depth map.

    pixel: (2, N) x and y in the second frame.
    previous_pixel: (2, N) x and y in the first frame.
    log_depth: (N,) ln of the depth in the second frame.
    log_previous_depth: (N,) ln of the depth in the first frame.
    variance: (N,) of both logarithms.
    size: width and height of the images.
    """

    pixel: Floats
    previous_pixel: Floats
    log_depth: Floats
    log_previous_depth: Floats
    variance: Floats
    size: tuple[int, int]

    @classmethod
    def of(cls, tracks: Tracks, found: TrackedMotion, camera: Camera) -> TriangulatedPoints:
        """The good tracks in front of both cameras, at finite depth."""
        good = (
            found.good & (tracks.inverse_depth > 0) & (found.variance < _MAX_DEPTH_RELATIVE_STD**2)
        )
        inverse = tracks.inverse_depth[good] * np.exp(found.error[good])
        row = found.motion[2].astype(np.float32)
        before = row[:3] @ tracks.rays[:, good] / inverse + row[3]
        ahead = before > 0
        return cls(
            tracks.pixel[:, good][:, ahead],
            tracks.target[:, good][:, ahead],
            -np.log(inverse[ahead]),
            np.log(before[ahead]),
            found.variance[good][ahead],
            camera.size,
        )

    def points(self, camera: Camera) -> Floats:
        """(3, N) in the optical axes of the second frame. camera: of any size of its image."""
        K = camera.resized(*self.size).K.astype(np.float32)
        depth = np.exp(self.log_depth)
        x = (self.pixel[0] - K[0, 2]) / K[0, 0] * depth
        y = (self.pixel[1] - K[1, 2]) / K[1, 1] * depth
        return np.stack((x, y, depth))

    def unit_after(self, before: TriangulatedPoints) -> tuple[float, float] | None:
        """(ln of the factor from this one's unit to that of the one before, its variance).

        before: its second frame is this one's first. None with too few common points.
        """
        if self.size != before.size:
            return None
        width, height = self.size
        # Indices of points; -1 is none. Neighbouring pixels do not match: the lower one of two is
        # mostly nearer, and the unit would shrink by 0.1 to 0.4 % a frame.
        number = np.full((height, width), -1, np.intp)
        x, y = np.rint(before.pixel).astype(np.intp)
        number[y, x] = np.arange(x.size)
        x, y = np.rint(self.previous_pixel).astype(np.intp)
        which = number[y, x]
        shared = np.flatnonzero(which >= 0)
        if shared.size < _MIN_SHARED_POINTS:
            return None
        which = which[shared]
        ratio = before.log_depth[which] - self.log_previous_depth[shared]
        variance = (
            before.variance[which] + self.variance[shared] + np.float32(_MIN_DEPTH_RELATIVE_STD**2)
        )
        middle = median(ratio)
        for _ in range(3):
            off = ratio - np.float32(middle)
            weight = (_STUDENT_T_DOF + 1) / (_STUDENT_T_DOF * variance + off * off)
            middle = float(weight @ ratio) / float(weight.sum())
        return middle, _CORRELATED_RATIOS / float(weight.sum()) + _MIN_LOG_RATIO_VARIANCE


def smooth_error(
    with_map_depth: Tracks,
    tracks: Tracks,
    found: TrackedMotion,
    camera: Camera,
    depth_relative_std: float,
) -> NDArray[np.float64]:
    """(DEPTH_COSINES,) smooth error of ln(inverse depth) of the depth map.

    with_map_depth: the tracks with the map's depth. tracks: with the depth that ``found`` used.
    """
    good = found.good & (with_map_depth.inverse_depth > 0)
    if not good.any():
        return np.zeros(DEPTH_COSINES)
    error = found.error[good] + np.log(
        tracks.inverse_depth[good] / with_map_depth.inverse_depth[good]
    )
    # A common factor is the unit of length, not an error.
    error -= np.float32(median(error))
    return smooth_part(error, found.variance[good], tracks.index[good], camera, depth_relative_std)
