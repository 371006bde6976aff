"""Two frames of a camera with known intrinsics: how it moved, and the depth where that tells it.

The classical way, with nothing learned: dense optical flow, the essential matrix of a static world,
triangulation (Hartley and Zisserman, Multiple View Geometry, chapters 9, 11 and 12). It fails where
a network is needed most, without texture, without parallax and on what moves, and says so;
elsewhere it is far more exact than a network that begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from depth_motion_ros.geometry.texture import has_texture

# Pixels: forward and backward flow agree, a point lies on its epipolar line, parallax is more than
# noise.
_FLOW_ERROR = 1.0
_EPIPOLAR_ERROR = 1.0
_LEAST_PARALLAX = 2.0
# Image widths by which the median pixel must be elsewhere than the best turn would have it. Errors
# of K, which grow with the image, pass for parallax: without it, hand-held video (redkitchen_dev,
# 320 wide) had 0.166 AbsRel, not 0.126.
_LEAST_LEFT_BY_A_TURN = 1 / 320
_SAMPLES = 2500
_FEWEST = 400
# Share of the pixels with texture that must be followed. Of unrelated images up to 0.05 are, by
# chance, and they agree on some motion or other (measured); with less than 0.1 overlap there is
# little to learn anyway.
_FOLLOWED = 0.1
# Rounds in which the least sum of distances (not of squares) is approached.
_TURN_ROUNDS = 5
# Shares of the samples that must obey one rigid motion, and lie in front of both cameras.
_RIGID = 0.5
_IN_FRONT = 0.8


class NoParallaxError(Exception):
    """Two frames do not tell how the camera moved; the text says what they lack."""


@dataclass(frozen=True, eq=False)
class TwoView:
    """Geometry of a pair, the length of the camera's way between its frames being 1.

    rotation (3, 3) and translation (3,) map points of the first frame into the second one's axes.
    depth: (H, W) float32 of the first frame, NaN where unknown. parallax: (H, W) float32, pixels
    that the translation alone has moved the point by; the relative error of depth is about the
    error of flow over this.
    """

    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    depth: NDArray[np.float32]
    parallax: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Matches:
    """Where each pixel of a first frame lies in a second: target (H, W, 2) and good (H, W)."""

    target: NDArray[np.float32]
    good: NDArray[np.bool_]

    def sampled(self, seed: int, where: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Flat indices of at most 2,500 good pixels, in no order; NoParallaxError if too few."""
        found = np.flatnonzero(self.good if where is None else self.good & where)
        if len(found) < _FEWEST:
            raise NoParallaxError(f"only {len(found)} pixels could be followed")
        rng = np.random.default_rng(seed)
        return rng.choice(found, min(_SAMPLES, len(found)), replace=False)


def match(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Matches:
    """Follow every pixel of a gray image (H, W) into another; good where flow and texture agree.

    Raises NoParallaxError where the images have too little in common.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there = np.asarray(flow.calc(first, second, None))  # type: ignore[call-overload]
    back = np.asarray(flow.calc(second, first, None))  # type: ignore[call-overload]
    target = _grid(first.shape) + there
    returned = cv2.remap(back, target, None, cv2.INTER_LINEAR, borderValue=(1e3, 1e3))  # type: ignore[call-overload]
    agrees = np.linalg.norm(there + returned, axis=2) < _FLOW_ERROR
    texture = has_texture(first)
    limit = np.array(first.shape[::-1], np.float32) - 1
    inside = ((target >= 0) & (target < limit)).all(axis=2)
    good = agrees & texture & inside
    if texture.sum() < _FEWEST:
        raise NoParallaxError(f"only {texture.sum()} pixels have texture")
    if good.sum() < _FOLLOWED * texture.sum():
        share = good.sum() / texture.sum()
        raise NoParallaxError(f"only {share:.0%} of what has texture is found in the other image")
    return Matches(target.astype(np.float32), good)


def two_view(
    first: NDArray[np.uint8], second: NDArray[np.uint8], K: NDArray, seed: int = 0
) -> TwoView:
    """Geometry of two gray images (H, W) of an undistorted camera K (3, 3).

    seed: of the random samples. Raises NoParallaxError where it is not to be had.
    """
    matches = match(first, second)
    picked = matches.sampled(seed)
    one = _grid(first.shape).reshape(-1, 2)[picked].astype(np.float64)
    two = matches.target.reshape(-1, 2)[picked].astype(np.float64)
    left = _left_by_a_turn(one, two, K)
    if left < _LEAST_LEFT_BY_A_TURN * first.shape[1]:
        raise NoParallaxError(
            "the camera has stood still or only turned: a turn explains where the points went to "
            f"{left:.1f} pixels"
        )
    essential, inlier = _essential(one, two, K, seed)
    one, two = one[inlier], two[inlier]
    # Points may be as far away as they like: those of a slow camera are.
    front, rotation, translation, *_ = cv2.recoverPose(essential, one, two, K, distanceThresh=1e9)
    if front < _IN_FRONT * len(one):
        raise NoParallaxError(
            f"the camera has stood still or only turned: only {front} of {len(one)} points would "
            "lie in front of both frames"
        )
    refined = _refined(rotation, translation.ravel(), one, two, K)
    return _triangulated(*refined, matches, K)


def _left_by_a_turn(one: NDArray[np.float64], two: NDArray[np.float64], K: NDArray) -> float:
    """Pixels, in the median, that the turn which explains most of the matches leaves unexplained.

    Where that is little, an essential matrix still finds a way to go, and parallax, by turning a
    degree too far: errors of K and of the lens are enough.
    """
    to_ray = np.linalg.inv(K).T
    rays_1, rays_2 = (_unit(np.c_[p, np.ones(len(p))] @ to_ray) for p in (one, two))
    weights = np.ones(len(one))
    for _ in range(_TURN_ROUNDS):
        turn, _ = Rotation.align_vectors(rays_2, rays_1, weights=weights)
        left = np.linalg.norm(_projected(turn.apply(rays_1), K) - two, axis=1)
        weights = 1 / np.maximum(left, 0.5)
    return float(np.median(left))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # type: ignore[no-any-return]


def _essential(
    one: NDArray[np.float64], two: NDArray[np.float64], K: NDArray, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    cv2.setRNGSeed(seed)
    try:
        found, inlier = cv2.findEssentialMat(one, two, K, cv2.USAC_MAGSAC, 0.999, 0.7, 2000)
    except cv2.error as error:
        raise NoParallaxError(f"no essential matrix ({error.err})") from error
    if found is None or found.shape != (3, 3):
        raise NoParallaxError("no essential matrix")
    obeys = np.asarray(inlier).ravel() > 0
    if obeys.mean() < _RIGID:
        raise NoParallaxError(f"only {obeys.mean():.0%} of the points obey one rigid motion")
    return found.astype(np.float64), obeys


def _refined(
    rotation: NDArray, translation: NDArray, one: NDArray, two: NDArray, K: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least Sampson distance over three angles and the two of the direction; robust."""
    to_ray = np.linalg.inv(K).T
    rays_1, rays_2 = (np.c_[p, np.ones(len(p))] @ to_ray for p in (one, two))
    sideways = np.linalg.svd(translation[None])[2][1:]

    def motion(change: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        turned = cv2.Rodrigues(change[:3])[0] @ rotation
        moved = translation + change[3:] @ sideways
        return turned, moved / np.linalg.norm(moved)

    def distance(change: NDArray) -> NDArray[np.float64]:
        turned, moved = motion(change)
        essential = np.cross(np.eye(3), moved) @ turned
        line_2, line_1 = rays_1 @ essential.T, rays_2 @ essential
        slope = np.linalg.norm(np.c_[line_1[:, :2], line_2[:, :2]], axis=1)
        return K[0, 0] * (rays_2 * line_2).sum(axis=1) / np.maximum(slope, 1e-9)  # type: ignore[no-any-return]

    solution = least_squares(distance, np.zeros(5), loss="soft_l1", f_scale=0.3, max_nfev=15)
    return motion(solution.x)


def _triangulated(rotation: NDArray, translation: NDArray, matches: Matches, K: NDArray) -> TwoView:
    """Depth where a pixel's match lies near its epipolar line, off the point at infinity."""
    to_ray = np.linalg.inv(K).T
    ones = np.ones((*matches.good.shape, 1))
    rays_1 = np.concatenate((_grid(matches.good.shape), ones), axis=2) @ to_ray
    rays_2 = np.concatenate((matches.target, ones), axis=2) @ to_ray
    turned = rays_1 @ rotation.T
    # z turned + translation is parallel to rays_2: the z of least squares of their cross product.
    a, b = np.cross(rays_2, turned), np.cross(rays_2, translation)
    depth = -(a * b).sum(axis=2) / np.maximum((a * a).sum(axis=2), 1e-12)
    point = depth[..., None] * turned + translation
    infinite, pixel = _projected(turned, K), _projected(point, K)
    parallax = np.linalg.norm(pixel - infinite, axis=2)
    known = matches.good & (depth > 0) & (point[..., 2] > 0) & (parallax > _LEAST_PARALLAX)
    known &= np.linalg.norm(pixel - matches.target, axis=2) < _EPIPOLAR_ERROR
    if known.sum() < _FEWEST:
        raise NoParallaxError(
            f"only {known.sum()} pixels have parallax: the camera has hardly moved"
        )
    return TwoView(
        rotation,
        translation,
        np.where(known, depth, np.nan).astype(np.float32),
        parallax.astype(np.float32),
    )


def resected(
    depth: NDArray[np.float32], matches: Matches, K: NDArray, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(rotation (3, 3), translation (3,)) into a second frame, from the depth (H, W) of the first.

    Lengths are in the unit of depth. Raises NoParallaxError where too few pixels agree on one.
    """
    picked = matches.sampled(seed, np.isfinite(depth))
    pixels = _grid(depth.shape).reshape(-1, 2)[picked]
    rays = np.c_[pixels, np.ones(len(picked))] @ np.linalg.inv(K).T
    points = rays * depth.ravel()[picked, None]
    target = matches.target.reshape(-1, 2)[picked].astype(np.float64)
    cv2.setRNGSeed(seed)
    found, turn, move, inlier = cv2.solvePnPRansac(
        points, target, K.astype(np.float64), None, reprojectionError=1.0, iterationsCount=200,
        flags=cv2.SOLVEPNP_SQPNP,
    )  # fmt: skip
    if not found or inlier is None or len(inlier) < _RIGID * len(picked):
        raise NoParallaxError("the points of known depth do not agree on one motion")
    chosen = inlier.ravel()
    turn, move = cv2.solvePnPRefineLM(
        points[chosen], target[chosen], K.astype(np.float64), None, turn, move
    )
    return cv2.Rodrigues(turn)[0].astype(np.float64), move.ravel().astype(np.float64)


def _projected(points: NDArray, K: NDArray) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = (points @ K.T)[..., :2] / points[..., 2:]
    return cast("NDArray[np.float64]", np.nan_to_num(pixels, nan=1e6, posinf=1e6, neginf=-1e6))


def _grid(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(H, W, 2) pixel coordinates x, y."""
    rows, columns = np.indices(shape, dtype=np.float32)
    return np.stack((columns, rows), axis=2)
