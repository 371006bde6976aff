"""How things move: tracks (T, 6) of cars, robots, hands, drones and walkers, in numpy.

See ``tracks.py`` for what the six numbers are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.simulator.tracks import TRACK_RATE

Array = NDArray[np.float64]
Rng = np.random.Generator
Height = Callable[[Array, Array], Array]


def clock(samples: int) -> Array:
    """Times of a track's samples, s."""
    return np.arange(samples) / TRACK_RATE


def wander(rng: Rng, samples: int, size: float, period: float, parts: int = 4) -> Array:
    """A smooth random signal of standard deviation ``size`` and periods down to ``period`` s."""
    t = clock(samples)
    result = np.zeros(samples)
    for _ in range(parts):
        frequency = 2 * np.pi / (period * rng.uniform(1.0, 3.0))
        result += np.sin(frequency * t + rng.uniform(0, 2 * np.pi))
    return result * size * np.sqrt(2.0 / parts)


def speed_profile(
    rng: Rng, samples: int, cruise: float, stops: float = 0.0, vary: float = 0.2
) -> Array:
    """Speeds around ``cruise`` m/s; with probability ``stops`` a halt of some seconds."""
    speed = cruise * (1 + wander(rng, samples, vary, 4.0)).clip(0.2, 2.0)
    if rng.random() < stops:
        t = clock(samples)
        start = rng.uniform(0.15, 0.7) * t[-1]
        hold = rng.uniform(1.0, 3.0)
        ramp = rng.uniform(0.8, 2.0)
        before, after = (start - t) / ramp, (t - start - hold) / ramp
        gate = np.clip(np.maximum(before, after), 0.0, 1.0)
        speed = speed * gate * gate * (3 - 2 * gate)
    return speed


def travelled(speed: Array) -> Array:
    """Distance covered at each sample, from 0."""
    return np.concatenate(([0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1])) / TRACK_RATE))


def grounded(x: Array, y: Array, yaw: Array, height: Height, length: float = 1.0) -> Array:
    """A track on the ground, pitched and rolled as the ground is over ``length`` m."""
    c, s = np.cos(yaw) * length / 2, np.sin(yaw) * length / 2
    pitch = -np.arctan2(height(x + c, y + s) - height(x - c, y - s), length)
    roll = np.arctan2(height(x - s, y + c) - height(x + s, y - c), length)
    return np.stack((x, y, height(x, y), roll, pitch, np.unwrap(yaw)), axis=1)


def on_curve(
    curve: Callable[[Array], tuple[Array, Array]],
    distance: Array,
    height: Height,
    length: float = 1.0,
) -> Array:
    """A track along a plane curve given by arc parameter; heading is the curve's tangent."""
    x, y = curve(distance)
    ahead_x, ahead_y = curve(distance + 0.05)
    behind_x, behind_y = curve(distance - 0.05)
    yaw = np.unwrap(np.arctan2(ahead_y - behind_y, ahead_x - behind_x))
    return grounded(x, y, yaw, height, length)


def oval(
    rng: Rng, center: tuple[float, float], radii: tuple[float, float]
) -> Callable[[Array], tuple[Array, Array]]:
    """A wavy closed loop, parametrised by about a metre per unit."""
    wave, lobes = rng.uniform(0.05, 0.16), int(rng.integers(2, 4))
    start, phase = rng.uniform(0, 2 * np.pi, 2)
    way = float(rng.choice((-1.0, 1.0)))
    mean = 0.5 * (radii[0] + radii[1])

    def curve(distance: Array) -> tuple[Array, Array]:
        angle = start + way * distance / mean
        swell = 1 + wave * np.sin(lobes * angle + phase)
        return (
            center[0] + radii[0] * swell * np.cos(angle),
            center[1] + radii[1] * swell * np.sin(angle),
        )

    return curve


def line(start: tuple[float, float], yaw: float) -> Callable[[Array], tuple[Array, Array]]:
    """A straight line from a point."""

    def curve(distance: Array) -> tuple[Array, Array]:
        return start[0] + np.cos(yaw) * distance, start[1] + np.sin(yaw) * distance

    return curve


def robot(
    rng: Rng,
    samples: int,
    curve: Callable[[Array], tuple[Array, Array]],
    cruise: float,
    height: Height,
) -> Array:
    """A differential drive: follows a curve, halts at times and then may turn on the spot."""
    speed = speed_profile(rng, samples, cruise, stops=0.7)
    track = on_curve(curve, travelled(speed), height, 0.4)
    halt = (speed < 0.15 * cruise).astype(float)
    if halt.any():
        window = np.cumsum(halt)
        total = window[-1]
        sweep = rng.uniform(-0.7, 0.7)
        track[:, 5] += sweep * np.sin(np.pi * window / total) ** 2
    track[:, 4] += wander(rng, samples, 0.004, 0.35)
    track[:, 3] += wander(rng, samples, 0.004, 0.4)
    return track


def car(
    rng: Rng,
    samples: int,
    curve: Callable[[Array], tuple[Array, Array]],
    start: float,
    cruise: float,
    height: Height,
    stops: float = 0.2,
) -> Array:
    """A car on a curve; a negative speed drives against it."""
    speed = speed_profile(rng, samples, abs(cruise), stops, 0.12)
    way = start + np.sign(cruise) * travelled(speed)
    return driven(rng, curve, way, height, backwards=cruise < 0)


def driven(
    rng: Rng,
    curve: Callable[[Array], tuple[Array, Array]],
    way: Array,
    height: Height,
    backwards: bool = False,
) -> Array:
    """A car at the given parameters of a curve, with a little pitch and roll of its springs."""
    track = on_curve(curve, way, height, 2.6)
    if backwards:
        track[:, 5] += np.pi
        track[:, 3:5] *= -1
    track[:, 4] += wander(rng, len(way), 0.005, 0.8)
    track[:, 3] += wander(rng, len(way), 0.004, 1.1)
    return track


def gap_ahead(rng: Rng, samples: int, nearest: float, usual: float) -> Array:
    """Distance to a car in front, m: about ``usual``, never below ``nearest``."""
    return nearest + (usual - nearest) * np.exp(wander(rng, samples, 0.35, 8.0))


def walker(
    rng: Rng, samples: int, start: tuple[float, float], yaw: float, height: Height, pace: float
) -> Array:
    """Someone on foot: a path that bends a little, with halts; upright."""
    speed = speed_profile(rng, samples, pace, stops=0.35)
    heading = yaw + wander(rng, samples, 0.25, 5.0)
    x = start[0] + np.cumsum(speed * np.cos(heading)) / TRACK_RATE
    y = start[1] + np.cumsum(speed * np.sin(heading)) / TRACK_RATE
    track = grounded(x, y, heading, height)
    track[:, 3:5] = 0.0
    return track


def stays_in(track: Array, center: tuple[float, float], radius: float) -> Array:
    """The same track mirrored back at a circle's rim, so that a walker does not leave the stage.

    Distances beyond the radius are folded smoothly; the heading follows the folded path.
    """
    offset = track[:, :2] - center
    reach = np.linalg.norm(offset, axis=1)
    fold = radius * np.sin(np.minimum(reach / radius, 0.5 * np.pi * 3)) / np.maximum(reach, 1e-6)
    folded = track.copy()
    folded[:, :2] = center + offset * np.abs(fold)[:, None]
    step = np.gradient(folded[:, :2], axis=0)
    moves = np.linalg.norm(step, axis=1) > 1e-4
    if moves.any():
        yaw = np.arctan2(step[moves, 1], step[moves, 0])
        folded[:, 5] = np.interp(np.arange(len(track)), np.nonzero(moves)[0], np.unwrap(yaw))
    return folded


def hand(
    rng: Rng,
    samples: int,
    center: tuple[float, float, float],
    reach: tuple[float, float, float],
    target: tuple[float, float, float],
    period: float = 4.0,
) -> Array:
    """A camera in a hand (or a drone): drifts about a place, looks about a target, trembles."""
    place = np.stack([center[i] + wander(rng, samples, reach[i], period) for i in range(3)], axis=1)
    aim = np.stack([target[i] + wander(rng, samples, 0.35, period) for i in range(3)], axis=1)
    look = aim - place
    yaw = np.unwrap(np.arctan2(look[:, 1], look[:, 0]))
    pitch = -np.arctan2(look[:, 2], np.hypot(look[:, 0], look[:, 1]))
    shake = [wander(rng, samples, 0.006, 0.5) for _ in range(3)]
    roll = wander(rng, samples, 0.05, 3.0) + shake[0]
    return np.concatenate(
        (place, np.stack((roll, pitch + shake[1], yaw + shake[2]), axis=1)), axis=1
    )


def carried(rng: Rng, track: Array, height: float, pace: float = 1.0) -> Array:
    """A camera in the hand of someone who walks along a track: bobs, sways, looks around."""
    samples = len(track)
    t = clock(samples)
    step = 2 * np.pi * 1.8 * pace * t
    result = track.copy()
    result[:, 2] += height + 0.025 * np.sin(step) + wander(rng, samples, 0.02, 2.0)
    result[:, 3] += 0.015 * np.sin(step / 2) + wander(rng, samples, 0.02, 1.5)
    result[:, 4] += 0.012 * np.sin(step + 1.0) + wander(rng, samples, 0.05, 2.5)
    result[:, 5] += wander(rng, samples, 0.12, 3.0) + 0.01 * np.sin(step / 2)
    return result


def still(samples: int, track_or_pose: Array) -> Array:
    """A camera that does not move at all: the first pose of a track, held."""
    first = np.atleast_2d(track_or_pose)[0]
    return np.tile(first, (samples, 1))


def turning(rng: Rng, track: Array) -> Array:
    """A pure rotation: the first place of a track, looking round."""
    result = still(len(track), track)
    result[:, 5] += wander(rng, len(track), 0.6, 4.0)
    result[:, 4] += wander(rng, len(track), 0.1, 4.0)
    return result
