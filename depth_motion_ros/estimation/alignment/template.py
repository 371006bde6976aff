"""One pyramid level of a frame, reduced to the pixels that show motion best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rays import rays

Floats = NDArray[np.float32]

# Of 255. Weaker gradients are sensor noise.
_MIN_GRADIENT_GREY_PER_PX = 1.5
# A neighbour nearer by this ratio is another surface.
_EDGE_DEPTH_RATIO = 1.15
_NEIGHBOUR_KERNEL = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Template:
    """N chosen pixels of the current frame.

    rays: (3, N) directions at z = 1.
    inverse_depth: (N,), 1 / unit of length; 0 = infinitely far.
    intensity: (N,) in [0, 255].
    weight: (N,) in [0, 1], 1 = surely static.
    x: (N,) int, column in the level's image.
    y: (N,) int, row in the level's image.
    gradient: (2, N) intensity per pixel in x and y.
    jacobian: (8, N), d intensity by translation (3), rotation (3), gain and bias.
    camera: of the level.
    """

    rays: Floats
    inverse_depth: Floats
    intensity: Floats
    weight: Floats
    x: NDArray[np.intp]
    y: NDArray[np.intp]
    gradient: Floats
    jacobian: Floats
    camera: Camera


def make_template(
    grey: Floats, inverse_depth: Floats, weight: Floats, camera: Camera, cell: int
) -> Template:
    """The strongest gradient of every ``cell`` x ``cell`` pixels, where depth is known.

    grey in [0, 255], inverse_depth and weight: (H, W) at the camera's size. One pixel per
    cell spreads the points over the image, which separates rotation from sideways translation.

    jacobian is that of I(pi(exp(xi) X)) at xi = 0 (inverse compositional: Baker and Matthews,
    Lucas-Kanade 20 Years On, 2004), written with inverse depth, so that the sky counts.
    """
    gx = np.asarray(cv2.Scharr(grey, cv2.CV_32F, 1, 0, scale=1 / 32), np.float32)
    gy = np.asarray(cv2.Scharr(grey, cv2.CV_32F, 0, 1, scale=1 / 32), np.float32)
    strength = gx * gx + gy * gy
    # False for NaN too.
    strength[~((inverse_depth >= 0) & (weight > 0))] = 0
    index = _strongest(strength, cell)
    index = index[strength.ravel()[index] > _MIN_GRADIENT_GREY_PER_PX**2]
    gx, gy, rho, intensity, weight = (
        values.ravel()[index] for values in (gx, gy, inverse_depth, grey, weight)
    )
    x, y = (values.ravel()[index] for values in rays(camera))
    a = gx * np.float32(camera.fx)
    b = gx * np.float32(camera.K[0, 1]) + gy * np.float32(camera.fy)
    c = -(a * x + b * y)
    one = np.ones_like(x)
    row, column = np.divmod(index, camera.width)
    return Template(
        rays=np.stack((x, y, one)),
        inverse_depth=rho,
        intensity=intensity,
        weight=weight,
        x=column,
        y=row,
        gradient=np.stack((gx, gy)),
        jacobian=np.stack(
            (a * rho, b * rho, c * rho, y * c - b, a - x * c, x * b - y * a, intensity, one)
        ),
        camera=camera,
    )


class TemplateView(NamedTuple):
    """Where the template's points lie in another image.

    u: (N,) column in pixels, 0 where not valid.
    v: (N,) row in pixels, 0 where not valid.
    ratio: (N,) depth in the other camera over depth in this one.
    valid: (N,) bool, inside the image.
    """

    u: Floats
    v: Floats
    ratio: Floats
    valid: NDArray[np.bool_]


def look(template: Template, inverse_depth: Floats, motion: NDArray[np.float64]) -> TemplateView:
    """motion: (4, 4), points of the template's camera to the axes of the other. inverse_depth:
    (N,), the template's or a better one."""
    K = template.camera.K
    p = (K @ motion[:3, :3]).astype(np.float32) @ template.rays
    p += (K @ motion[:3, 3]).astype(np.float32)[:, None] * inverse_depth
    w = p[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        u, v = p[0] / w, p[1] / w
    right, bottom = template.camera.width - 1, template.camera.height - 1
    valid = (w > 0) & (u >= 0) & (u <= right) & (v >= 0) & (v <= bottom)
    u[~valid] = v[~valid] = 0
    return TemplateView(u, v, w, valid)


def sample(image: Floats, at: TemplateView, interpolation: int = cv2.INTER_LINEAR) -> Floats:
    """(N,) values of an (H, W) image where the points lie."""
    return np.asarray(cv2.remap(image, at.u[None], at.v[None], interpolation)[0], np.float32)


def gradient_of(template: Template) -> float:
    """Root mean square of the points' gradients, intensity per pixel."""
    return float(np.sqrt(np.mean(np.square(template.gradient))))


def edges_to_the_foreground(inverse_depth: Floats) -> Floats:
    """Give the background pixels that touch a nearer surface that surface's depth.

    An edge in the image belongs to the nearer surface and moves with it, but its gradient reaches
    one pixel into the background. NaN stays NaN.
    """
    # OpenCV does not define the result for NaN.
    known = np.where(np.isnan(inverse_depth), np.float32(0), inverse_depth)
    nearest = np.asarray(cv2.dilate(known, _NEIGHBOUR_KERNEL), np.float32)
    return np.where(nearest > _EDGE_DEPTH_RATIO * inverse_depth, nearest, inverse_depth)


def _strongest(strength: Floats, cell: int) -> NDArray[np.intp]:
    """Flat index of the strongest pixel of every whole cell."""
    height, width = strength.shape
    rows, columns = height // cell, width // cell
    tiles = strength[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    best = tiles.transpose(0, 2, 1, 3).reshape(rows, columns, cell * cell).argmax(axis=2)
    y = np.arange(rows)[:, None] * cell + best // cell
    x = np.arange(columns)[None, :] * cell + best % cell
    return np.asarray((y * width + x).ravel(), np.intp)
