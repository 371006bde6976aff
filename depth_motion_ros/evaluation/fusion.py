"""What fusing the camera's velocities with wheels and a gyro gains, on known paths.

A small filter that stands in for robot_localization's ``ekf_node`` with ``two_d_mode``, read from
the same parameter file, and sensors as they are on robots: biased, noisy, slipping.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.geometry import se3

Doubles = NDArray[np.float64]

# Of robot_localization's fifteen, those that a robot in the plane has: x y yaw vx vy vyaw.
_PLANAR = (0, 1, 5, 6, 7, 11)
_VX, _VY, _TURN = 3, 4, 5
# Wheels and gyro speak so many times as often as the camera.
_FASTER = 5
# What wheels and gyro are constantly off by does not average out over readings. A filter of white
# noise is told so by a variance that many times as large, as drivers of robots do.
_ALIKE = 25
# Variance of velocities of which nothing is known yet, (m/s)² and (rad/s)².
_UNKNOWN = 4.0


@dataclass(frozen=True, eq=False)
class Sensor:
    """velocities: which of vx vy vyaw are fused, as indices of the state. gate: Mahalanobis
    distance beyond which a message is refused."""

    velocities: tuple[int, ...]
    gate: float


@dataclass(frozen=True, eq=False)
class FilterSettings:
    """growth: (6, 6) covariance that a second adds, x y yaw vx vy vyaw. sensors: by the name that
    the parameters have: odom0, odom1, imu0."""

    growth: Doubles
    sensors: Mapping[str, Sensor]

    @classmethod
    def from_file(cls, path: str | Path) -> FilterSettings:
        """Those that robot_localization would read. Raises EvaluationError for another file."""
        try:
            document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            parameters = next(iter(document.values()))["ros__parameters"]
            noise = np.array(parameters["process_noise_covariance"], float).reshape(15, 15)
        except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
            raise EvaluationError(f"{path} are no parameters of an ekf_node: {error!r}") from None
        sensors = {}
        for name in ("odom0", "odom1", "imu0"):
            if name not in parameters:
                continue
            wanted = parameters[f"{name}_config"]
            gate = parameters.get(f"{name}_twist_rejection_threshold", np.inf)
            if any(wanted[index] for index in (0, 1, 5)):
                raise EvaluationError(f"{path}: {name} fuses poses, but velocities alone are known")
            chosen = tuple(i for i in (_VX, _VY, _TURN) if wanted[_PLANAR[i]])
            sensors[name] = Sensor(chosen, float(gate))
        return cls(noise[np.ix_(_PLANAR, _PLANAR)], sensors)


_WHEELS_ALONE = Sensor((_VX, _VY, _TURN), float("inf"))


class PlanarFilter:
    """Constant velocity in the plane; state x y yaw (odom), vx vy vyaw (base_link)."""

    def __init__(self, growth: Doubles) -> None:
        self._growth = growth
        self.state = np.zeros(6)
        self.covariance = np.diag([0.0] * 3 + [_UNKNOWN] * 3)

    def predict(self, dt: float) -> None:
        """dt: s."""
        x, y, yaw, vx, vy, turn = self.state
        c, s = np.cos(yaw), np.sin(yaw)
        self.state = np.array(
            [x + (c * vx - s * vy) * dt, y + (s * vx + c * vy) * dt, yaw + turn * dt, vx, vy, turn]
        )
        F = np.eye(6)
        F[0, 2:5] = (-s * vx - c * vy) * dt, c * dt, -s * dt
        F[1, 2:5] = (c * vx - s * vy) * dt, s * dt, c * dt
        F[2, 5] = dt
        self.covariance = F @ self.covariance @ F.T + self._growth * dt

    def correct(self, sensor: Sensor, values: Doubles, covariance: Doubles) -> bool:
        """values, covariance: of the sensor's velocities. Whether they were believed."""
        chosen = list(sensor.velocities)
        apart = values - self.state[chosen]
        total = self.covariance[np.ix_(chosen, chosen)] + covariance
        if apart @ np.linalg.solve(total, apart) > sensor.gate**2:
            return False
        gain = self.covariance[:, chosen] @ np.linalg.inv(total)
        self.state = self.state + gain @ apart
        kept = np.eye(6)
        kept[:, chosen] -= gain
        self.covariance = kept @ self.covariance @ kept.T + gain @ covariance @ gain.T
        return True


@dataclass(frozen=True)
class Noise:
    """Wheels: radius and width of the track are off by shares, one draw for a run; slip is a share
    of each reading. Gyro: bias (rad/s), one draw; noise (rad/s). All are standard deviations."""

    radius: float = 0.02
    track: float = 0.05
    slip: float = 0.03
    gyro_bias: float = 0.001
    gyro_noise: float = 0.01


@dataclass(frozen=True, eq=False)
class Seen:
    """What the camera says at the end of a step: twist (6,) and its covariance; None where it is
    silent."""

    twist: Doubles | None
    covariance: Doubles | None


@dataclass(frozen=True)
class FusionErrors:
    """position: m, root mean square over the path. end: m, heading: degrees, at its end.
    inside: share of poses (x y yaw) inside their 95 % ellipsoid."""

    position: float
    end: float
    heading: float
    inside: float


def planar(pose: Doubles) -> Doubles:
    """(3,) x, y, yaw of a pose whose z axis is up."""
    return np.array([pose[0, 3], pose[1, 3], np.arctan2(pose[1, 0], pose[0, 0])])


def fuse(
    truth: Sequence[Doubles],
    seconds: float,
    seen: Sequence[Seen],
    settings: FilterSettings,
    use: Sequence[str],
    noise: Noise,
    seed: int,
) -> FusionErrors:
    """Follow a path with some of the sensors.

    truth: poses (4, 4) of base_link, ``seconds`` apart; the first is where odom begins. seen: one
    for each step. use: of ``settings.sensors``: odom0 is the camera, odom1 the wheels, imu0 the
    gyro. seed: of the draw of wheels and gyro, which do not depend on who is used.
    """
    rng = np.random.default_rng(seed)
    radius, track = 1 + noise.radius * rng.normal(), 1 + noise.track * rng.normal()
    bias = noise.gyro_bias * rng.normal()
    filter_ = PlanarFilter(settings.growth)
    errors, consistent = [], []
    home = se3.inverse(truth[0])
    for (before, after), camera in zip(itertools.pairwise(truth), seen, strict=True):
        twist = se3.log(se3.inverse(before) @ after) / seconds
        for _ in range(_FASTER):
            filter_.predict(seconds / _FASTER)
            slip = 1 + noise.slip * rng.normal(size=2)
            speed = radius * slip[0] * twist[0]
            turn = radius / track * slip[1] * twist[5]
            gyro = twist[5] + bias + noise.gyro_noise * rng.normal()
            if "odom1" in use:
                # With nothing else to tell the turn, wheels have to.
                wheels = settings.sensors["odom1"] if len(use) > 1 else _WHEELS_ALONE
                _correct(filter_, wheels, *_wheels(speed, turn, noise))
            if "imu0" in use:
                spread = _ALIKE * noise.gyro_bias**2 + noise.gyro_noise**2
                _correct(
                    filter_, settings.sensors["imu0"], np.array([0, 0, gyro]), spread * np.eye(3)
                )
        if "odom0" in use and camera.twist is not None and camera.covariance is not None:
            chosen = [0, 1, 5]
            _correct(
                filter_,
                settings.sensors["odom0"],
                camera.twist[chosen],
                camera.covariance[np.ix_(chosen, chosen)],
            )
        apart = filter_.state[:3] - planar(home @ after)
        apart[2] = np.arctan2(np.sin(apart[2]), np.cos(apart[2]))
        errors.append(apart)
        # Chi-square, three degrees of freedom, 95 %.
        consistent.append(apart @ np.linalg.solve(filter_.covariance[:3, :3], apart) < 7.81)
    found = np.array(errors)
    distance = np.linalg.norm(found[:, :2], axis=1)
    return FusionErrors(
        float(np.sqrt(np.mean(distance**2))),
        float(distance[-1]),
        float(np.degrees(abs(found[-1, 2]))),
        float(np.mean(consistent)),
    )


def _wheels(speed: float, turn: float, noise: Noise) -> tuple[Doubles, Doubles]:
    """vx vy vyaw and their covariance, as a driver of wheels that knows its accuracy states it."""
    values = np.array([speed, 0.0, turn])
    shared = _ALIKE * noise.radius**2 + noise.slip**2
    turning = _ALIKE * (noise.radius**2 + noise.track**2) + noise.slip**2
    spread = [shared * speed**2 + 1e-4, 1e-4 + 1e-4 * speed**2, turning * turn**2 + 1e-4]
    return values, np.diag(spread)


def _correct(filter_: PlanarFilter, sensor: Sensor, values: Doubles, covariance: Doubles) -> None:
    """values: vx vy vyaw, of which the sensor's are used."""
    chosen = [index - _VX for index in sensor.velocities]
    filter_.correct(sensor, values[chosen], covariance[np.ix_(chosen, chosen)])
