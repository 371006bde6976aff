"""Collects the primitives, bodies, light and camera paths of one scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.simulator.appearance.materials import Material, MaterialKit, hsv
from depth_motion_ros.simulator.rendering.shapes import Shape
from depth_motion_ros.simulator.scene import WAVES, Scene
from depth_motion_ros.simulator.tracks import TRACK_RATE

Array = NDArray[np.float64]
Vector = tuple[float, float, float]

UPRIGHT: Vector = (0.0, 0.0, 0.0)


def pose_matrix(place: Vector, angles: Vector = UPRIGHT) -> Array:
    """(4, 4) of a place (m) and roll, pitch, yaw (rad); the numpy twin of ``tracks.to_matrix``."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(angles), np.sin(angles)
    return np.array(
        (
            (cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr, place[0]),
            (sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr, place[1]),
            (-sp, cp * sr, cp * cr, place[2]),
            (0.0, 0.0, 0.0, 1.0),
        )
    )


class Part:
    """A frame to build in: a body and a place on it. Everything added is in its axes."""

    def __init__(self, builder: SceneBuilder, body: int, base: Array) -> None:
        self.builder, self.body, self.base = builder, body, base

    def box(
        self,
        center: Vector,
        half: Vector,
        material: Material,
        angles: Vector = UPRIGHT,
        casts: bool = True,
    ) -> None:
        """A box of the given half sizes."""
        self._add(Shape.BOX, center, half, material, angles, casts)

    def cylinder(
        self,
        center: Vector,
        radius: float,
        half_height: float,
        material: Material,
        angles: Vector = UPRIGHT,
    ) -> None:
        """A capped cylinder; upright unless turned."""
        self._add(Shape.CYLINDER, center, (radius, radius, half_height), material, angles, True)

    def ball(
        self, center: Vector, half: Vector, material: Material, angles: Vector = UPRIGHT
    ) -> None:
        """An ellipsoid of the given half axes."""
        self._add(Shape.BALL, center, half, material, angles, True)

    def _add(
        self,
        kind: Shape,
        center: Vector,
        half: Vector,
        material: Material,
        angles: Vector,
        casts: bool,
    ) -> None:
        place = self.base @ pose_matrix(center, angles)
        self.builder.primitives.append((int(kind), half, place, self.body, casts, material))


class SceneBuilder:
    """Build one scene. rng: everything random comes from it. duration: s that tracks cover."""

    def __init__(self, rng: np.random.Generator, duration: float) -> None:
        self.rng = rng
        self.kit = MaterialKit(rng)
        self.samples = int(np.ceil(duration * TRACK_RATE)) + 2
        self.primitives: list[tuple[int, Vector, Array, int, bool, Material]] = []
        self.tracks: list[Array] = [np.zeros((self.samples, 6))]
        self.instances: list[int] = [0]
        self.cameras: list[Array] = []
        self.surroundings = [self.kit.sky(), self.kit.asphalt(), self.kit.soil(), self.kit.grass()]
        self.plane = np.zeros(3)
        self.waves = np.zeros((WAVES, 4))
        self.curve = np.zeros((2, 3))
        self.road = {"half_width": 0.0, "verge_width": 0.0, "edge": 0.0}
        self.paint, self.dash = hsv(0.12, 0.05, 0.95), (1.0, 0.0)
        self.light: dict[str, object] = {}
        self.outdoor_light()

    def static(self, x: float, y: float, yaw: float = 0.0, z: float | None = None) -> Part:
        """A frame that stands still; on the ground unless z is given."""
        level = float(self.height(np.array(x), np.array(y))) if z is None else z
        return Part(self, 0, pose_matrix((x, y, level), (0.0, 0.0, yaw)))

    def moving(self, track: Array, instance: int | None = None) -> Part:
        """A frame that rides on a track; a new instance unless it belongs to one."""
        if track.shape != (self.samples, 6):
            raise ValueError(f"track must be ({self.samples}, 6), got {track.shape}")
        self.tracks.append(track)
        self.instances.append(max(self.instances) + 1 if instance is None else instance)
        return Part(self, len(self.tracks) - 1, np.eye(4))

    def instance_of(self, part: Part) -> int:
        """The instance id of a moving frame."""
        return self.instances[part.body]

    def height(self, x: Array, y: Array) -> Array:
        """Height of the ground, m."""
        z = self.plane[0] + self.plane[1] * x + self.plane[2] * y
        for amplitude, kx, ky, phase in self.waves:
            z = z + amplitude * np.sin(kx * x + ky * y + phase)
        return np.asarray(z)

    def road_center(self, x: Array) -> Array:
        """y of the road's centre line."""
        return np.asarray(sum(a * np.sin(k * x + phase) for a, k, phase in self.curve))

    def lane(self, offset: float) -> Callable[[Array], tuple[Array, Array]]:
        """The curve that keeps an offset (m, left is positive) from the road's centre line."""

        def curve(distance: Array) -> tuple[Array, Array]:
            return distance, self.road_center(distance) + offset

        return curve

    def rough_ground(self, slope: float, bump: float) -> None:
        """Slope (rise over run) and steepest wave of the ground, each drawn up to the limit."""
        rng = self.rng
        self.plane[1:] = rng.uniform(-slope, slope, 2)
        if bump > 0:
            for i in range(WAVES):
                length = rng.uniform(4.0, 25.0)
                k, angle = 2 * np.pi / length, rng.uniform(0, 2 * np.pi)
                amplitude = rng.uniform(0.3, 1.0) * bump / WAVES / k
                phase = rng.uniform(0, 2 * np.pi)
                self.waves[i] = (amplitude, k * np.cos(angle), k * np.sin(angle), phase)

    def outdoor_light(self) -> None:
        """Sun anywhere from low to high, sky to match, haze from thin to thick."""
        rng = self.rng
        azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(22, 70))
        sun = (
            np.cos(azimuth) * np.cos(height),
            np.sin(azimuth) * np.cos(height),
            np.sin(height),
        )
        overcast = rng.random() ** 2
        warm = np.array((1.0, 0.95, 0.86)) if height < 0.6 else np.array((1.0, 0.98, 0.94))
        self.light = {
            "sun": sun,
            "sun_color": warm * 1.75 * (1 - 0.75 * overcast),
            "ambient": np.array((0.5, 0.56, 0.66)) * (1 + 0.7 * overcast),
            "haze": np.array(hsv(0.58, 0.22 * (1 - overcast), rng.uniform(0.8, 0.93))),
            "zenith": np.array(hsv(0.6, 0.62 * (1 - 0.8 * overcast), rng.uniform(0.55, 0.85))),
            "haze_length": float(np.exp(rng.uniform(np.log(150), np.log(900)))),
            "lamp": (0.0, 0.0, -1e4),
            "lamp_color": (0.0, 0.0, 0.0),
        }

    def indoor_light(self, lamp: Vector) -> None:
        """A lamp and soft light from everywhere; shadows fall as from a high window."""
        rng = self.rng
        azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(55, 80))
        sun = (
            np.cos(azimuth) * np.cos(height),
            np.sin(azimuth) * np.cos(height),
            np.sin(height),
        )
        tint = np.array(hsv(rng.uniform(0.06, 0.14), rng.uniform(0.0, 0.25), 1.0))
        strength = rng.uniform(0.7, 1.3)
        self.light = {
            "sun": sun,
            "sun_color": tint * 0.55 * strength,
            "ambient": tint * 0.55 * strength,
            "haze": (0.5, 0.5, 0.5),
            "zenith": (0.5, 0.5, 0.5),
            "haze_length": 1e5,
            "lamp": lamp,
            "lamp_color": tint * 1.5 * strength,
        }

    def build(self) -> Scene:
        """The finished scene. Raises ValueError without a camera path."""
        if not self.cameras:
            raise ValueError("the scene has no camera path: append to SceneBuilder.cameras")
        kinds, halves, places, bodies, casts, materials = zip(*self.primitives, strict=True)
        return Scene(
            kind=np.array(kinds, np.int64),
            half=np.array(halves, np.float32),
            place=np.stack(places),
            body=np.array(bodies, np.int64),
            casts=np.array(casts, np.bool_),
            material=np.stack(materials),
            surroundings=np.stack(self.surroundings),
            tracks=np.stack(self.tracks),
            instance=np.array(self.instances, np.int64),
            cameras=np.stack(self.cameras),
            ground={"plane": _f32(self.plane), "waves": _f32(self.waves)},
            road={
                "curve": _f32(self.curve),
                "paint": _f32(self.paint),
                "dash": _f32(self.dash),
                **{name: _f32(value) for name, value in self.road.items()},
            },
            light={name: _f32(value) for name, value in self.light.items()},
        )


def _f32(value: object) -> NDArray[np.float32]:
    return np.asarray(value, dtype=np.float32)
