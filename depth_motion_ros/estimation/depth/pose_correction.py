"""A small correction of a known motion by the flow between two frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.alignment.gauss_newton import rotation_of
from depth_motion_ros.estimation.depth.epipolar_field import Doubles, EpipolarField, Floats
from depth_motion_ros.geometry import se3

# Samples of the flow, fewer than which correct nothing, and rounds of reweighting.
_SAMPLES, _FEWEST, _ROUNDS = 800, 100, 3
# Degrees of freedom of Student's t: its heavy tails are what moves.
_FREEDOM = 3.0
# Errors of flow, and of depth, are alike over so many neighbouring samples.
_CORRELATED, _ALIKE = 5.0, 20.0
# Standard deviation of flow, pixels.
_FLOW_ERROR = 0.15
# The pose may be so many times as uncertain as it claims (variance): errors of successive poses are
# alike.
_LOOSE = 20.0
# Of the best turn: samples, rounds of reweighting, and pixels below which distances count alike.
_TURN_SAMPLES, _TURN_ROUNDS, _LEAST_LEFT = 200, 4, 0.25


@dataclass(frozen=True, eq=False)
class RelativePose:
    """motion: (4, 4), points of a frame into another one's axes. covariance: (6, 6), translation
    before rotation, of e in motion · exp(e); the length of the step is the unit and certain."""

    motion: Doubles
    covariance: Doubles

    def after(self, other: RelativePose) -> RelativePose:
        """From the frame that ``other`` starts at to the one that this leads to."""
        back = se3.adjoint(se3.inverse(other.motion))
        return RelativePose(
            self.motion @ other.motion, back @ self.covariance @ back.T + other.covariance
        )

    def in_unit(self, factor: float) -> RelativePose:
        """In a unit of length that is ``factor`` times smaller."""
        motion = self.motion.copy()
        motion[:3, 3] *= factor
        factors = np.array([factor] * 3 + [1.0] * 3)
        return RelativePose(motion, self.covariance * np.outer(factors, factors))


def corrected(
    pose: RelativePose,
    field: EpipolarField,
    inverse_depth: Floats,
    depth_std: float,
    target: tuple[Floats, Floats],
    good: NDArray[np.bool_],
) -> RelativePose:
    """The motion that most of the flow agrees on, within the covariance; the length of its step is
    as before. The motion as it is where too little flow is good.

    inverse_depth: (H, W), off by ``depth_std``, relative. target: (H, W) each, where the pixels lie
    in the other frame.
    """
    found = np.flatnonzero(good)
    if found.size < _FEWEST:
        return pose
    picked = found[:: max(1, found.size // _SAMPLES)]
    r = inverse_depth.ravel()[picked]
    J_u, J_v, du, dv, u, v = field.by_pose(picked, r)
    off_u, off_v = target[0].ravel()[picked] - u, target[1].ravel()[picked] - v
    length = np.maximum(np.hypot(du, dv), 1e-9)
    x, y = du / length, dv / length
    noise = np.full(length.shape, _FLOW_ERROR**2)
    sigma = np.sqrt(np.stack((noise + _ALIKE * (depth_std * length) ** 2, noise)))
    off = np.stack((x * off_u + y * off_v, x * off_v - y * off_u)) / sigma
    J = np.stack((x[:, None] * J_u + y[:, None] * J_v, x[:, None] * J_v - y[:, None] * J_u))
    J /= sigma[..., None]
    prior = np.linalg.inv(_LOOSE * pose.covariance + 1e-12 * np.eye(6))
    error, H = np.zeros(6), prior
    for _ in range(_ROUNDS):
        left = off - J @ error
        weight = (_FREEDOM + 2) / (_FREEDOM + (left * left).sum(axis=0)) / _CORRELATED
        weighted = (J * weight[:, None]).reshape(-1, 6).T
        H = prior + weighted @ J.reshape(-1, 6)
        error = np.linalg.solve(H, weighted @ off.ravel())
    motion = pose.motion @ se3.exp(error)
    motion[:3, :3] = rotation_of(motion)
    before, after = (float(np.linalg.norm(m[:3, 3])) for m in (pose.motion, motion))
    if after > 0:
        motion[:3, 3] *= before / after
    return RelativePose(motion, np.linalg.inv(H))


def left_by_a_turn(
    field: EpipolarField, target: tuple[Floats, Floats], good: NDArray[np.bool_]
) -> float:
    """Pixels, in the median, that the turn which explains most of the flow leaves unexplained.

    Where that is little, a turn that is slightly wrong passes for parallax. 0 where too little flow
    is good.
    """
    found = np.flatnonzero(good)
    if found.size < _FEWEST:
        return 0.0
    picked = found[:: max(1, found.size // _TURN_SAMPLES)]
    J_u, J_v, _, _, u, v = field.by_pose(picked, np.zeros(picked.size, np.float32))
    J = np.stack((J_u[:, 3:], J_v[:, 3:]), axis=1)
    off = np.stack((target[0].ravel()[picked] - u, target[1].ravel()[picked] - v), axis=1)
    left = off
    for _ in range(_TURN_ROUNDS):
        weight = 1 / np.maximum(np.linalg.norm(left, axis=1), _LEAST_LEFT)
        weighted = J * weight[:, None, None]
        H = np.einsum("nij,nik->jk", weighted, J)
        turn = np.linalg.solve(H, np.einsum("nij,ni->j", weighted, off))
        left = off - J @ turn
    return float(np.median(np.linalg.norm(left, axis=1)))
