"""Refines the camera's motion until the two images agree (direct alignment)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.gauss_newton import median
from depth_motion_ros.estimation.alignment.images import (
    denoised,
    grey_of,
    pyramid,
    static_weight,
    typical,
)
from depth_motion_ros.estimation.alignment.search import MIN_POINT_COUNT, Alignment, AlignmentSearch
from depth_motion_ros.estimation.alignment.template import (
    Floats,
    Template,
    edges_to_the_foreground,
    look,
    make_template,
    sample,
)
from depth_motion_ros.geometry.camera import Camera

Doubles = NDArray[np.float64]

# (halvings of the image, cell size in pixels, iterations at most, update in pixels that counts as
# converged): few points and large updates first, no more precise than the next level needs.
_PYRAMID_LEVELS = ((3, 1, 6, 0.05), (2, 2, 4, 0.05), (1, 4, 3, 0.05), (0, 4, 3, 0.03))
# Below this many halvings corners are tracked, which is more precise than direct alignment: the
# finer levels are for images with too few corners.
_TRACKING_MIN_HALVINGS = 2
# Share of the usual inlier ratio below which a second start is tried.
_SECOND_START_RATIO = 0.8
# No depth map is more precise than this.
_MIN_DEPTH_RELATIVE_STD = 0.01


def align(
    image: NDArray[np.uint8],
    previous_image: NDArray[np.uint8],
    depth: Floats,
    previous_depth: Floats | None,
    starts: Sequence[Doubles],
    residual: Floats | None,
    camera: Camera,
    depth_relative_std: float,
    usual_inlier_ratio: float = 0.0,
) -> Alignment | None:
    """Start from a motion; minimise the difference of the images over what is static.

    Gauss-Newton on SE(3), coarse to fine, inverse compositional, with gain and bias of the
    brightness and Student's t for what does not fit (Kerl, Sturm, Cremers, Robust Odometry
    Estimation for RGB-D Cameras, 2013). Smooth errors of depth are unknowns beside the motion:
    without them, a rotation and a sideways translation would compensate for them. The remaining
    error of depth makes a point's residual uncertain along its epipolar line only.

    Images (H, W, 3) uint8 RGB. depth, previous_depth: (H, W), NaN = unknown, in the unit of the
    motion; the previous one shows what was occluded. starts: (4, 4) each, points of the current
    camera to the previous one's axes; the best one at the coarsest level is used.
    residual: (H, W, 3) the network's motion of objects, None = nothing moves. camera: of the image,
    undistorted.
    depth_relative_std: standard deviation of the relative error of depth, of its smooth part over
        the image and of the rest alike.
    usual_inlier_ratio: the usual inlier ratio; far below it, corners are also tracked directly from
        the last start.

    None where the images overlap too little or have too little texture.
    """
    count = 1 + max(halvings for halvings, *_ in _PYRAMID_LEVELS)
    grey, previous_grey = grey_of(image), grey_of(previous_image)
    greys, previous_greys = (pyramid(denoised(each), count) for each in (grey, previous_grey))
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.asarray(1 / depth, np.float32)
    weight = static_weight(residual, rho, camera)
    rhos, weights = pyramid(edges_to_the_foreground(rho), count), pyramid(weight, count)
    search: AlignmentSearch | None = None
    template, seen = None, None
    for halvings, cell, most, enough in _PYRAMID_LEVELS:
        if halvings < _TRACKING_MIN_HALVINGS and search is not None:
            found = search.follow(grey, previous_grey, rho, weight, camera)
            if (
                search.inlier_ratio is not None
                and search.inlier_ratio < _SECOND_START_RATIO * usual_inlier_ratio
            ):
                # Something large that moves may have misled the coarse levels.
                second = AlignmentSearch(starts[-1], search.typical, search.depth_relative_std)
                other = second.follow(grey, previous_grey, rho, weight, camera)
                if other is not None and second.agrees_better(search):
                    return other
            if found is not None:
                return found
        level = camera.resized(*greys[halvings].shape[::-1])
        template = make_template(greys[halvings], rhos[halvings], weights[halvings], level, cell)
        if template.x.size < MIN_POINT_COUNT:
            # A coarse level may be empty where depth has gaps.
            continue
        if search is None:
            start = _best_start(starts, template, previous_greys[halvings])
            search = AlignmentSearch(
                start, typical(rhos[-1]), max(depth_relative_std, _MIN_DEPTH_RELATIVE_STD)
            )
        seen = template.weight
        if previous_depth is not None:
            seen = seen * search.was_seen(template, previous_depth)
        search.descend(template, previous_greys[halvings], seen, most, enough)
    if search is None or template is None or seen is None or template.x.size < MIN_POINT_COUNT:
        return None
    return search.result(template, previous_greys[0], seen)


def _best_start(starts: Sequence[Doubles], template: Template, previous: Floats) -> Doubles:
    """By the median difference of intensity. The first, unless another is better."""
    if len(starts) == 1:
        return starts[0]
    differences = []
    for start in starts:
        at = look(template, template.inverse_depth, start)
        difference = np.abs(sample(previous, at) - template.intensity)[at.valid]
        enough = difference.size > max(MIN_POINT_COUNT, template.x.size // 4)
        differences.append(median(difference) if enough else np.inf)
    return starts[int(np.argmin(differences))]
