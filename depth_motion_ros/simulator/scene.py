"""Scenes as tensors: primitives, bodies that carry them, ground, light, paths of cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.simulator.rendering.ground import Ground
from depth_motion_ros.simulator.tracks import TRACK_RATE, interpolate

# Rows of ``SceneBatch.material`` after those of the primitives.
SKY, ROAD, VERGE, FIELD = range(4)
SURROUNDINGS = 4

MATERIAL_FIELDS = 14
WAVES = 4


@dataclass(frozen=True, eq=False)
class Light:
    """Light of B scenes, linear RGB.

    sun: (B, 3) unit vector towards it. sun_color, ambient, haze, zenith, lamp_color: (B, 3).
    haze_length: (B,) m after which 63 % of a colour is haze. lamp: (B, 3) position, m.
    """

    sun: Tensor
    sun_color: Tensor
    ambient: Tensor
    haze: Tensor
    zenith: Tensor
    haze_length: Tensor
    lamp: Tensor
    lamp_color: Tensor


@dataclass(frozen=True, eq=False)
class Road:
    """A road along x whose centre line is y = sum_i A_i sin(k_i x + phase_i), for B scenes.

    curve: (B, 2, 3) = A, k, phase. half_width, verge_width: (B,) m; 0 = no road.
    paint: (B, 3) linear RGB. dash: (B, 2) period and length of the centre dashes, m; 0 = none.
    edge: (B,) half the width of the edge lines, m; 0 = none.
    """

    curve: Tensor
    half_width: Tensor
    verge_width: Tensor
    paint: Tensor
    dash: Tensor
    edge: Tensor


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """B scenes padded to P primitives, N bodies and C camera paths.

    kind: (B, P) of ``Shape``. half: (B, P, 3) m, 0 = padding. place: (B, P, 4, 4) float64,
    primitive to body. body: (B, P) long. casts: (B, P) bool. material: (B, P + 4, 14), see
    ``materials.py``; the last four rows are sky, road, verge and field.
    tracks: (B, N, T, 6) float64, body 0 is the world. instance: (B, N) long.
    cameras: (B, C, T, 6) float64, paths of camera carriers.
    """

    kind: Tensor
    half: Tensor
    place: Tensor
    body: Tensor
    casts: Tensor
    material: Tensor
    tracks: Tensor
    instance: Tensor
    cameras: Tensor
    ground: Ground
    road: Road
    light: Light

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def device(self) -> torch.device:
        return self.kind.device

    @property
    def duration(self) -> float:
        """Seconds that the tracks cover."""
        return (self.tracks.shape[2] - 1) / TRACK_RATE

    def rows(self, index: Tensor) -> SceneBatch:
        """The scenes of the given rows, (n,) long, which may repeat."""
        return _map(self, lambda tensor: tensor[index])

    def to(self, device: torch.device | str) -> SceneBatch:
        """The same scenes on another device."""
        return _map(self, lambda tensor: tensor.to(device))

    def body_states(self, time: Tensor) -> Tensor:
        """(B, N, 6) states of the bodies at (B,) seconds."""
        return interpolate(self.tracks, time)

    def carrier(self, path: Tensor, time: Tensor) -> Tensor:
        """(B, 6) states of the camera carriers on the (B,) chosen paths at (B,) seconds."""
        rows = torch.arange(len(self), device=self.device)
        return interpolate(self.cameras[rows, path][:, None], time)[:, 0]


def _map(item, function):  # type: ignore[no-untyped-def]
    """Apply a function to every tensor of nested dataclasses."""
    if isinstance(item, Tensor):
        return function(item)
    changed = {f.name: _map(getattr(item, f.name), function) for f in fields(item)}
    return replace(item, **changed)


@dataclass(frozen=True, eq=False)
class Scene:
    """One scene in numpy, as ``SceneBuilder`` makes it; the fields of ``SceneBatch`` less B."""

    kind: NDArray[np.int64]
    half: NDArray[np.float32]
    place: NDArray[np.float64]
    body: NDArray[np.int64]
    casts: NDArray[np.bool_]
    material: NDArray[np.float32]
    surroundings: NDArray[np.float32]
    tracks: NDArray[np.float64]
    instance: NDArray[np.int64]
    cameras: NDArray[np.float64]
    ground: dict[str, NDArray[np.float32]]
    road: dict[str, NDArray[np.float32]]
    light: dict[str, NDArray[np.float32]]


def stack(scenes: Sequence[Scene], device: torch.device | str = "cpu") -> SceneBatch:
    """Pad scenes to a common size and stack them into tensors."""
    primitives = max(len(scene.kind) for scene in scenes)
    bodies = max(len(scene.tracks) for scene in scenes)
    paths = max(len(scene.cameras) for scene in scenes)
    samples = max(scene.tracks.shape[1] for scene in scenes)

    def padded(name: str, size: int, samples: int | None = None) -> Tensor:
        rows = []
        for scene in scenes:
            value = getattr(scene, name)
            if samples is not None and value.shape[1] < samples:
                value = np.pad(value, ((0, 0), (0, samples - value.shape[1]), (0, 0)), mode="edge")
            missing = size - len(value)
            if name == "cameras":
                value = np.concatenate((value, value[np.arange(missing) % len(value)]))
            else:
                value = np.pad(value, ((0, missing),) + ((0, 0),) * (value.ndim - 1))
            rows.append(value)
        return torch.from_numpy(np.stack(rows)).to(device)

    def group(name: str, key: str) -> Tensor:
        values = [np.asarray(getattr(scene, name)[key], dtype=np.float32) for scene in scenes]
        return torch.from_numpy(np.stack(values)).to(device)

    around = torch.from_numpy(np.stack([scene.surroundings for scene in scenes])).to(device)
    return SceneBatch(
        kind=padded("kind", primitives),
        half=padded("half", primitives),
        place=padded("place", primitives),
        body=padded("body", primitives),
        casts=padded("casts", primitives),
        material=torch.cat((padded("material", primitives), around), dim=1),
        tracks=padded("tracks", bodies, samples),
        instance=padded("instance", bodies),
        cameras=padded("cameras", paths, samples),
        ground=Ground(**{f.name: group("ground", f.name) for f in fields(Ground)}),
        road=Road(**{f.name: group("road", f.name) for f in fields(Road)}),
        light=Light(**{f.name: group("light", f.name) for f in fields(Light)}),
    )
