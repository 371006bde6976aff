"""How far an aligned motion may be wrong."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment_template import (
    Floats,
    Look,
    Template,
    gradient_of,
)

Doubles = NDArray[np.float64]

# Residuals of neighbours are not independent (interpolation, aliasing, shading): so many points
# say as much as one. Set by what makes the errors consistent, see docs/odometry.md.
_CORRELATED = 8.0
# Share of what remains unexplained, as image displacement, that all points may have in common:
# interpolation, aliasing and edges; and a wrong minimum, which leaves much unexplained.
_COMMON = 0.3
# Cosines along x and y by which smooth errors of depth are described.
_WAVES = 4, 3


def alignment_covariance(
    template: Template,
    at: Look,
    motion: Doubles,
    weight: Floats,
    spread: float,
    prior: Doubles,
    depth_error: float,
) -> Doubles:
    """(6, 6) covariance, translation before rotation, of e in motion · exp(e).

    The sum of three: what the residuals leave open, by the information of the (weighted) points;
    a displacement of a fraction of a pixel that all points share; and what a smooth error of
    depth, which no residual shows, does to the motion (consider parameters: Schmidt 1966).

    at: where the points lie. weight: (N,). spread: standard deviation of the residual.
    prior: (6,) information about the start. depth_error: standard deviation of the relative
    error of depth over one image, its mean aside: that is an error of the scale.
    """
    J = template.jacobian
    weighted = J * weight
    scale = 1 / (_CORRELATED * spread**2)
    information = scale * (weighted @ J.T).astype(np.float64)
    information[range(6), range(6)] += prior
    inverse = np.linalg.inv(information)
    covariance = inverse[:6, :6]
    if depth_error > 0:
        pull = weighted @ (_depth_jacobian(template, at, motion) * _waves(template)).T
        errors = inverse @ (scale * pull.astype(np.float64)) * depth_error
        covariance = covariance + (errors @ errors.T)[:6, :6]
    unexplained = spread / gradient_of(template)
    focal = 0.5 * (template.camera.fx + template.camera.fy)
    turn = _COMMON * unexplained / focal
    step = turn / max(float(np.median(template.inverse_depth)), 1e-9)
    covariance = covariance + np.diag([step**2] * 3 + [turn**2] * 3)
    return 0.5 * (covariance + covariance.T)


def _depth_jacobian(template: Template, at: Look, motion: Doubles) -> Floats:
    """(N,) d residual / d ln(depth): nearer things move more between the images."""
    k = (template.camera.K @ motion[:3, 3]).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        toward = -template.inverse_depth / at.ratio
    du, dv = (k[0] - at.u * k[2]) * toward, (k[1] - at.v * k[2]) * toward
    pull = template.gradient[0] * du + template.gradient[1] * dv
    return np.where(at.valid, pull, np.float32(0))


def _waves(template: Template) -> Floats:
    """(K, N) smooth functions over the image; their squares add up to about 1."""
    along, across = _WAVES
    x = _cosines(along, template.camera.width)[:, template.x]
    y = _cosines(across, template.camera.height)[:, template.y]
    # The first is constant: not an error of the shape.
    waves = (x[:, None] * y[None]).reshape(along * across, -1)[1:]
    return np.asarray(waves * np.float32(len(waves) ** -0.5), np.float32)


@functools.lru_cache(maxsize=16)
def _cosines(count: int, length: int) -> Floats:
    """(count, length) cosines of 0, 1, 2... half waves over a length of pixels; mean square 1."""
    phase = np.pi * (np.arange(length) + 0.5) / length
    cosines = np.sqrt(2) * np.cos(np.arange(count)[:, None] * phase)
    cosines[0] = 1
    return np.asarray(cosines, np.float32)
