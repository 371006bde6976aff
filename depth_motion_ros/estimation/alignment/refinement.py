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
from depth_motion_ros.estimation.alignment.search import MIN_POINTS, Alignment, AlignmentSearch
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

# (halvings of the image, pixels of a cell, most iterations, pixels of the level below which a step
# is the last): few points and large steps first, and no more than the next level needs.
_LEVELS = ((3, 1, 6, 0.05), (2, 2, 4, 0.05), (1, 4, 3, 0.05), (0, 4, 3, 0.03))
# From less halvings on, corners can be followed, which says more than the differences do: the finer
# levels are for images that have too few.
_FOLLOWED = 2
# Share of the usual agreement below which a second start is tried.
_FEW = 0.8
# No depth map is more exact than this.
_MIN_DEPTH_ERROR = 0.01


def align(
    image: NDArray[np.uint8],
    previous_image: NDArray[np.uint8],
    depth: Floats,
    previous_depth: Floats | None,
    starts: Sequence[Doubles],
    residual: Floats | None,
    camera: Camera,
    depth_error: float,
    usual_agreement: float = 0.0,
) -> Alignment | None:
    """Start from a motion; minimise the difference of the images over what is static.

    Gauss-Newton on SE(3), coarse to fine, inverse compositional, with gain and bias of the
    brightness and Student's t for what does not fit (Kerl, Sturm, Cremers, Robust Odometry
    Estimation for RGB-D Cameras, 2013). Smooth errors of depth are unknowns beside the motion:
    left out, a turn and a sidestep would stand in for them. What remains of depth's error makes a
    point's residual uncertain in the direction in which depth moves it, and only there.

    Images (H, W, 3) uint8 RGB. depth, previous_depth: (H, W), NaN = unknown, in the unit of the
    motion; the previous one shows what was hidden. starts: (4, 4) each, points of the current
    camera to the previous one's axes; the one that explains the coarsest level best.
    residual: (H, W, 3) the network's motion of what moves by itself, None = nothing does. camera:
    of the image, undistorted.
    depth_error: standard deviation of the relative error of depth, of its smooth part over the
        image and of the rest alike. usual_agreement: share of the corners that agreed on the motion
        in earlier pairs; where much fewer do, they are also followed straight from the last start.

    None where the images share too little, or show too little.
    """
    count = 1 + max(halvings for halvings, *_ in _LEVELS)
    grey, previous_grey = grey_of(image), grey_of(previous_image)
    greys, previous_greys = (pyramid(denoised(each), count) for each in (grey, previous_grey))
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.asarray(1 / depth, np.float32)
    weight = static_weight(residual, rho, camera)
    rhos, weights = pyramid(edges_to_the_foreground(rho), count), pyramid(weight, count)
    search: AlignmentSearch | None = None
    template, seen = None, None
    for halvings, cell, most, enough in _LEVELS:
        if halvings < _FOLLOWED and search is not None:
            found = search.follow(grey, previous_grey, rho, weight, camera)
            if search.agreement is not None and search.agreement < _FEW * usual_agreement:
                # Something large may have taken the coarse levels with it.
                second = AlignmentSearch(starts[-1], search.typical, search.depth_error)
                other = second.follow(grey, previous_grey, rho, weight, camera)
                if other is not None and second.agrees_better(search):
                    return other
            if found is not None:
                return found
        level = camera.resized(*greys[halvings].shape[::-1])
        template = make_template(greys[halvings], rhos[halvings], weights[halvings], level, cell)
        if template.x.size < MIN_POINTS:
            # A coarse level may be empty where depth has gaps.
            continue
        if search is None:
            start = _best_start(starts, template, previous_greys[halvings])
            search = AlignmentSearch(start, typical(rhos[-1]), max(depth_error, _MIN_DEPTH_ERROR))
        seen = template.weight
        if previous_depth is not None:
            seen = seen * search.was_seen(template, previous_depth)
        search.descend(template, previous_greys[halvings], seen, most, enough)
    if search is None or template is None or seen is None or template.x.size < MIN_POINTS:
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
        enough = difference.size > max(MIN_POINTS, template.x.size // 4)
        differences.append(median(difference) if enough else np.inf)
    return starts[int(np.argmin(differences))]
