"""Ego-motion integrated to the pose of the robot's base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.estimation.estimate import Motion
from depth_motion_ros.geometry import se3


@dataclass(frozen=True, eq=False)
class OdometryState:
    """Pose and twist of the base, in the form of ``nav_msgs/Odometry``.

    pose: (4, 4), odom <- base_link, metres.
    covariance: (6, 6) of the pose, translation before rotation, about the fixed axes of odom.
    twist: (6,) linear (m/s) before angular (rad/s) velocity of base_link in its own axes, the
        mean over the last two frames; None where there is no motion estimate.
    twist_covariance: (6, 6), None where twist is.
    """

    pose: NDArray[np.float64]
    covariance: NDArray[np.float64]
    twist: NDArray[np.float64] | None
    twist_covariance: NDArray[np.float64] | None


class Odometry:
    """Integrates motions of a camera that is fixed to the base."""

    def __init__(self, base_from_camera: NDArray[np.float64]) -> None:
        """base_from_camera: (4, 4), pose of the camera's optical frame in base_link."""
        self.mount(base_from_camera)
        self.reset()

    def mount(self, base_from_camera: NDArray[np.float64]) -> None:
        """Set another pose of the camera on the base; the base's pose stays."""
        self._base_from_camera = base_from_camera
        self._camera_from_base = se3.inverse(base_from_camera)
        self._adjoint = se3.adjoint(base_from_camera)

    def reset(self) -> None:
        """The base is at the origin of odom, with zero covariance."""
        self._pose = np.eye(4)
        # Of a small motion of the base in its own axes: pose · exp(error).
        self._covariance = np.zeros((6, 6))
        self._twist: NDArray[np.float64] | None = None
        self._twist_covariance: NDArray[np.float64] | None = None

    def integrate(self, motion: Motion) -> None:
        """Add the motion of one frame.

        With X the pose of the camera in the base and M the camera's motion, the base moves by
        D = X · M · X^-1: the lever arm is in X. A motion M · exp(e) makes it D · exp(Ad(X) · e).
        """
        camera_motion = se3.transform(motion.rotation, motion.translation)
        step = self._base_from_camera @ camera_motion @ self._camera_from_base
        step_covariance = self._adjoint @ motion.covariance @ self._adjoint.T
        self._pose = _orthonormal(self._pose @ step)
        back = se3.adjoint(se3.inverse(step))
        self._covariance = _symmetric(back @ self._covariance @ back.T + step_covariance)
        self._twist = se3.log(step) / motion.dt
        self._twist_covariance = _symmetric(step_covariance) / motion.dt**2

    def coast(
        self, dt: float, speed: float, turn_rate: float, extrapolated: Motion | None = None
    ) -> None:
        """Time without a motion estimate: the pose covariance grows, and the twist is unknown.

        dt: s. speed (m/s), turn_rate (rad/s): standard deviations of the motion meanwhile.
        extrapolated: the likely motion, with its covariance; None = the pose stays.
        """
        if extrapolated is not None:
            self.integrate(extrapolated)
        else:
            variances = [(speed * dt) ** 2] * 3 + [(turn_rate * dt) ** 2] * 3
            self._covariance = self._covariance + np.diag(variances)
        self._twist = self._twist_covariance = None

    @property
    def state(self) -> OdometryState:
        R = self._pose[:3, :3]
        to_fixed_axes = np.zeros((6, 6))
        to_fixed_axes[:3, :3] = to_fixed_axes[3:, 3:] = R
        return OdometryState(
            self._pose.copy(),
            _symmetric(to_fixed_axes @ self._covariance @ to_fixed_axes.T),
            None if self._twist is None else self._twist.copy(),
            None if self._twist_covariance is None else self._twist_covariance.copy(),
        )


def _orthonormal(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest rigid transform: rounding must not grow over days of frames."""
    U, _, Vt = np.linalg.svd(pose[:3, :3])
    return se3.transform(U @ Vt, pose[:3, 3])


def _symmetric(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (matrix + matrix.T)
