"""Training pairs drawn as they are needed, on the device that trains on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch import Tensor

from depth_motion_ros.simulator.appearance.textures import VARIANTS, TextureBank
from depth_motion_ros.simulator.cameras import CameraRanges, random_intrinsics, random_mount
from depth_motion_ros.simulator.families import FAMILIES, build_scene
from depth_motion_ros.simulator.rendering.render import joined, render
from depth_motion_ros.simulator.scene import Scene, SceneBatch, stack
from depth_motion_ros.simulator.sensor import Sensor, image_flow, photograph
from depth_motion_ros.simulator.tracks import camera_pose

DURATION = 12.0
# Seeds of the pool start here, so that no training scene is one of the frozen ones.
_FIRST_SEED = 1_000_000
_USUAL_PATHS = 0.85


@dataclass(frozen=True, eq=False)
class PairBatch:
    """B pairs of images with the truth about both; see ``RenderOutput`` for the fields.

    image_1, image_2: (B, 3, H, W) in [0, 1]. depth_1, depth_2: (B, 1, H, W) m, 1000 for sky.
    K: (B, 3, 3), the same camera for both. T_12, T_21: (B, 4, 4) float32, T_12 maps points of
    frame 1 into the axes of frame 2. motion_12: (B, 3, H, W) m, own motion of the pixels of
    frame 1, in the axes of frame 2; motion_21 the reverse. moving_1, moving_2, valid_1, valid_2:
    (B, 1, H, W) bool. time_step: (B,) s from frame 1 to frame 2, may be negative.
    """

    image_1: Tensor
    image_2: Tensor
    depth_1: Tensor
    depth_2: Tensor
    K: Tensor
    T_12: Tensor
    T_21: Tensor
    motion_12: Tensor
    motion_21: Tensor
    moving_1: Tensor
    moving_2: Tensor
    valid_1: Tensor
    valid_2: Tensor
    time_step: Tensor

    def rows(self, rows: Sequence[int] | Tensor) -> PairBatch:
        """The pairs with these places, in this order; they may repeat."""
        index = torch.as_tensor(rows, device=self.K.device)
        return PairBatch(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def mirrored(self, chosen: Tensor | None = None) -> PairBatch:
        """As seen in a mirror: left and right change places, and x changes its sign.

        chosen: (B,) bool, the pairs to mirror (default: all); the others stay as they are.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in values.items():
            if value.ndim == 4:
                values[name] = value.flip(3)
        sign = self.T_12.new_tensor([-1.0, 1.0, 1.0, 1.0])
        for name in ("T_12", "T_21"):
            values[name] = values[name] * sign[:, None] * sign
        for name in ("motion_12", "motion_21"):
            values[name] = values[name] * sign[:3, None, None]
        values["K"] = self.K.clone()
        values["K"][:, 0, 2] = self.image_1.shape[3] - 1 - self.K[:, 0, 2]
        if chosen is not None:
            for name, value in values.items():
                where = chosen.reshape(-1, *(1,) * (value.ndim - 1))
                values[name] = torch.where(where, value, getattr(self, name))
        return PairBatch(**values)


@dataclass(frozen=True)
class PairSettings:
    """What to draw.

    families: relative weight of each family. pool: scenes kept at a time. lifetime: batches after
    which one scene of the pool is replaced. cameras: their ranges. gray: share of gray images.
    reverse: share of pairs whose second frame is the earlier one.
    """

    families: Mapping[str, float] = field(
        default_factory=lambda: {
            "drive": 1.0, "yard": 1.0, "indoor": 1.0, "handheld": 0.7, "crowd": 0.5,
        }
    )  # fmt: skip
    pool: int = 20
    lifetime: int = 10
    cameras: CameraRanges = field(default_factory=CameraRanges)
    gray: float = 0.25
    reverse: float = 0.25

    def __post_init__(self) -> None:
        unknown = sorted(set(self.families) - set(FAMILIES))
        if unknown:
            raise ValueError(f"unknown scene families {unknown}; known: {', '.join(FAMILIES)}")
        if not any(weight > 0 for weight in self.families.values()):
            raise ValueError(f"no family has a positive weight: {dict(self.families)}")
        if self.pool < 1 or self.lifetime < 1:
            raise ValueError(f"pool and lifetime must be >= 1, got {self.pool}, {self.lifetime}")


class KeptPairs:
    """The newest rendered batches, each at its place in one tensor a field, to draw from.

    batches: how many are kept. A batch is known by its index; one that is ``batches`` older than
    another has its place taken by it.
    """

    def __init__(self, batches: int) -> None:
        self._indices = [-1] * batches
        self._all: PairBatch | None = None

    def __contains__(self, index: int) -> bool:
        return self._indices[index % len(self._indices)] == index

    def put(self, index: int, batch: PairBatch) -> None:
        """Keep a batch. All have the same number of pairs, of one size."""
        count, places = len(batch.K), len(self._indices)
        if self._all is None:
            values = {f.name: getattr(batch, f.name) for f in fields(batch)}
            self._all = PairBatch(
                **{k: v.new_empty((places * count, *v.shape[1:])) for k, v in values.items()}
            )
        start = index % places * count
        for entry in fields(batch):
            getattr(self._all, entry.name)[start : start + count] = getattr(batch, entry.name)
        self._indices[index % places] = index

    def drawn(self, rows: Sequence[tuple[int, int]]) -> PairBatch:
        """The pairs at these (index, row of its batch), which must have been put."""
        assert self._all is not None
        places = len(self._indices)
        count = len(self._all.K) // places
        return self._all.rows([index % places * count + row for index, row in rows])


class PairSampler:
    """Draws batches of pairs. Batch ``index`` follows from the seed and the index alone.

    width, height: of the images. device: where scenes live and images are drawn.
    between: called between two scenes that are built and two images that are drawn, so that a
    batch, which takes seconds on a CPU, can be broken off by what it raises.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        settings: PairSettings | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self.width, self.height = width, height
        self._between = between
        self.settings = settings or PairSettings()
        self.device = torch.device(device)
        self.seed = seed
        self._next = 0
        self._bank = TextureBank.from_seed(0).to(self.device)
        weights = {name: w for name, w in self.settings.families.items() if w > 0}
        share = np.cumsum(list(weights.values())) / sum(weights.values())
        places = (np.arange(self.settings.pool) + 0.5) / self.settings.pool
        self._slots = [list(weights)[i] for i in np.searchsorted(share, places)]
        self._generation = [-1] * self.settings.pool
        self._scenes: list[Scene] = []
        self._pool: SceneBatch | None = None

    def batch(self, count: int, index: int | None = None) -> PairBatch:
        """``count`` pairs; without an index, those after the last ones."""
        index = self._next if index is None else index
        self._next = index + 1
        rng = np.random.default_rng((self.seed, index))
        pool = self._refreshed(index)
        slots = rng.integers(self.settings.pool, size=count)
        families = [FAMILIES[self._slots[slot]] for slot in slots]
        scene = pool.rows(torch.as_tensor(slots, device=self.device))
        scene = _varied(scene, rng)

        steps = np.array([np.exp(rng.uniform(*np.log(f.time_step))) for f in families])
        start = rng.uniform(0.2, DURATION - 0.2 - steps)
        flipped = rng.random(count) < self.settings.reverse
        first, second = start + flipped * steps, start + ~flipped * steps
        paths = pool.cameras.shape[1]
        usual = rng.random(count) < _USUAL_PATHS
        path = np.where(usual, rng.integers(2, size=count), rng.integers(paths, size=count))
        mount = random_mount(rng, families, self.settings.cameras)
        K = random_intrinsics(rng, count, self.width, self.height, self.settings.cameras)
        return self._drawn(scene, K, path, mount, first, second, rng)

    def _drawn(
        self,
        scene: SceneBatch,
        K: np.ndarray,
        path: np.ndarray,
        mount: np.ndarray,
        start: np.ndarray,
        end: np.ndarray,
        rng: np.random.Generator,
    ) -> PairBatch:
        device, count = self.device, len(path)
        sensor = Sensor.random(rng, count, device, self.settings.gray).repeated(2)
        seeds = torch.as_tensor(rng.integers(1 << 16, size=2 * count), device=device)
        paths = torch.as_tensor(path, device=device)
        mounts = torch.as_tensor(mount, device=device)
        times = [torch.as_tensor(t, device=device) for t in (start, end)]
        poses = [camera_pose(scene.carrier(paths, time), mounts) for time in times]
        intrinsics = torch.as_tensor(K, dtype=torch.float32, device=device)
        both = torch.arange(count, device=device).repeat(2)
        whole = (both, intrinsics.repeat(2, 1, 1), torch.cat(poses), torch.cat(times))
        after = (torch.cat(poses[::-1]), torch.cat(times[::-1]))
        # A CPU is fastest where a frame's intermediate values stay in its cache.
        size = 1 if device.type == "cpu" else 2 * count
        parts = []
        for first in range(0, 2 * count, size):
            self._between()
            row, K_part, pose, time, next_pose, next_time = (
                values[first : first + size] for values in (*whole, *after)
            )
            parts.append(
                render(
                    scene.rows(row), K_part, pose, time, next_pose=next_pose,
                    next_time=next_time, width=self.width, height=self.height, bank=self._bank,
                )
            )  # fmt: skip
        output = joined(parts)
        flow = image_flow(output.depth, output.motion, output.ego, output.K)
        # Blur and shutter run forward in time, whichever frame comes first.
        later = torch.cat((times[0], times[1])) > torch.cat((times[1], times[0]))
        flow = torch.where(later[:, None, None, None], -flow, flow)
        images = photograph(output.image, sensor, seeds, flow).chunk(2)
        depths, motions = output.depth.chunk(2), output.motion.chunk(2)
        moving, valid, ego = output.moving.chunk(2), output.valid.chunk(2), output.ego.chunk(2)
        return PairBatch(
            image_1=images[0], image_2=images[1], depth_1=depths[0], depth_2=depths[1],
            K=intrinsics, T_12=ego[0].float(), T_21=ego[1].float(),
            motion_12=motions[0], motion_21=motions[1],
            moving_1=moving[0], moving_2=moving[1], valid_1=valid[0], valid_2=valid[1],
            time_step=(times[1] - times[0]).float(),
        )  # fmt: skip

    def _refreshed(self, index: int) -> SceneBatch:
        """The pool at a batch: slot j holds its scene number (index // lifetime + j) // pool."""
        size = self.settings.pool
        wanted = [(index // self.settings.lifetime + slot) // size for slot in range(size)]
        if self._pool is None or wanted != self._generation:
            old: list[Scene | None] = [*self._scenes] or [None] * size
            self._scenes = [
                scene
                if scene is not None and wanted[slot] == self._generation[slot]
                else self._build(slot, wanted[slot])
                for slot, scene in enumerate(old)
            ]
            self._generation = wanted
            self._pool = stack(self._scenes, self.device)
        return self._pool

    def _build(self, slot: int, generation: int) -> Scene:
        self._between()
        seed = _FIRST_SEED + (self.seed * 7919 + generation) * self.settings.pool + slot
        return build_scene(self._slots[slot], seed, DURATION)


def _varied(scene: SceneBatch, rng: np.random.Generator) -> SceneBatch:
    """The same scenes in other colours, textures and light, so that a small pool lasts."""
    count, device = len(scene), scene.device

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    material = scene.material.clone()
    rows = material.shape[1]
    layer = material[..., 0]
    shift = tensor(rng.integers(0, VARIANTS, (count, 1)))
    pattern = (layer / VARIANTS).floor() * VARIANTS
    material[..., 0] = pattern + torch.remainder(layer - pattern + shift, VARIANTS)
    size = tensor(np.exp(rng.uniform(-0.4, 0.4, (count, rows))))
    material[..., 1:3] *= size[..., None]
    material[..., 3] += torch.log2(size)
    blend = np.eye(3) + rng.normal(0, 0.12, (count, 3, 3))
    mix = tensor(blend / blend.sum(2, keepdims=True))
    tone = tensor(np.exp(rng.normal(0, 0.15, (count, rows, 1))))
    for columns in (slice(4, 7), slice(7, 10)):
        color = (material[..., columns] @ mix.transpose(1, 2)).clamp(0.01, 1.0)
        material[..., columns] = (color * tone).clamp(0.01, 1.0)
    material[..., 10] *= tensor(rng.uniform(0.6, 1.25, (count, 1)))

    angle = rng.uniform(0, 2 * np.pi, count)
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros(count), np.ones(count)
    turn = np.stack((c, -s, zero, s, c, zero, zero, zero, one), axis=1).reshape(count, 3, 3)
    light = scene.light
    sun = (tensor(turn) @ light.sun[..., None])[..., 0]
    strength = tensor(np.exp(rng.normal(0, 0.2, (count, 1))))
    balance = tensor(np.exp(rng.normal(0, 0.3, (count, 1))))
    light = replace(
        light, sun=sun, sun_color=light.sun_color * strength * balance,
        ambient=light.ambient * strength / balance,
    )  # fmt: skip
    return replace(scene, material=material, light=light)
