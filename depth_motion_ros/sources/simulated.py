"""Simulated scenes as a source of frames, and the named scenes that figures are compared on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.simulator.appearance.textures import TextureBank
from depth_motion_ros.simulator.families import build_scene
from depth_motion_ros.simulator.rendering.render import RenderOutput, render
from depth_motion_ros.simulator.scene import stack
from depth_motion_ros.simulator.sensor import Sensor, photograph
from depth_motion_ros.simulator.tracks import camera_pose
from depth_motion_ros.sources.base import Source, check_rate, stamp_of_index
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError

PREFIX = "sim:"


@dataclass(frozen=True)
class NamedScene:
    """A frozen scene: what it shows must never change, or old figures compare with nothing.

    family, seed, duration (s): of the scene. frames, rate (Hz), width, height: of the sequence.
    field_of_view: horizontal, degrees. mount: x, y, z (m), roll, pitch, yaw (rad) of the camera on
    its carrier. path: which of the scene's camera paths it takes.
    """

    family: str
    seed: int
    frames: int
    rate: float
    width: int
    height: int
    field_of_view: float
    mount: tuple[float, float, float, float, float, float]
    path: int = 0
    duration: float = 31.0


SCENES: dict[str, NamedScene] = {
    "yard": NamedScene("yard", 10, 900, 30.0, 640, 480, 75.0, (0.1, 0, 0.6, 0, 0.05, 0)),
    "drive": NamedScene("drive", 8, 300, 10.0, 832, 256, 82.0, (0.5, 0, 1.65, 0, 0.02, 0)),
    "indoor": NamedScene("indoor", 4, 450, 15.0, 480, 360, 72.0, (0.1, 0, 0.5, 0, 0.05, 0)),
    "handheld": NamedScene("handheld", 2, 450, 15.0, 480, 360, 62.0, (0, 0, 0, 0, 0, 0)),
    "crowd": NamedScene("crowd", 3, 450, 15.0, 480, 360, 68.0, (0, 0, 0, 0, 0, 0)),
}


class SimulatorSource(Source):
    """Frames of a named scene, rendered as they are asked for, with truth for every pixel.

    The truth's depth and motion are NaN where the sky is seen.
    """

    def __init__(
        self,
        name: str,
        scene: NamedScene,
        sensor: Sensor | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(name, scene.rate, scene.frames)
        self.scene = scene
        self.device = torch.device(device)
        self.camera = Camera.from_field_of_view(
            scene.width, scene.height, float(np.radians(scene.field_of_view))
        )
        built = build_scene(scene.family, scene.seed, scene.duration)
        self._batch = stack([built], self.device)
        self._bank = TextureBank.from_seed(0).to(self.device)
        self._sensor = Sensor.typical(1, self.device) if sensor is None else sensor
        self._mount = torch.tensor([scene.mount], dtype=torch.float64, device=self.device)
        self._path = torch.tensor([scene.path], device=self.device)

    def pose(self, time: float) -> torch.Tensor:
        """(1, 4, 4) float64 camera-to-world at a time in s."""
        when = torch.tensor([time], dtype=torch.float64, device=self.device)
        return camera_pose(self._batch.carrier(self._path, when), self._mount)

    def render(self, index: int) -> RenderOutput:
        """Frame ``index`` in linear light, with everything known about it."""
        rate = self.scene.rate
        now, after = index / rate, (index + 1) / rate
        times = torch.tensor([[now], [after]], dtype=torch.float64, device=self.device)
        K = torch.tensor(self.camera.K[None], dtype=torch.float32, device=self.device)
        return render(
            self._batch, K, self.pose(now), times[0], next_pose=self.pose(after),
            next_time=times[1], width=self.scene.width, height=self.scene.height, bank=self._bank,
        )  # fmt: skip

    def frame(self, index: int) -> Frame:
        """Frame ``index`` of the sequence."""
        output = self.render(index)
        seed = torch.tensor([index], device=self.device)
        picture = photograph(output.image, self._sensor, seed)
        pixels = (picture[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
        unknown = ~output.valid
        forward = output.ego[0, :3, :3].T @ -output.ego[0, :3, 3]
        return Frame(
            stamp_of_index(index, self.rate),
            # Rows of pixels, as every other source: OpenCV is twice as quick with them.
            pixels.contiguous().cpu().numpy(),
            self.camera,
            GroundTruth(
                depth=output.depth.masked_fill(unknown, torch.nan)[0, 0].cpu().numpy(),
                pose=output.pose[0].cpu().numpy(),
                motion=output.motion.masked_fill(unknown, torch.nan)[0]
                .permute(1, 2, 0).cpu().numpy(),
                instance=output.instance[0, 0].cpu().numpy().astype(np.uint16),
                speed=float(forward[2]) * self.scene.rate,
            ),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.scene.frames):
            yield self.frame(index)


def open_simulator(
    spec: str,
    *,
    width: int | None = None,
    height: int | None = None,
    frames: int | None = None,
    seed: int | None = None,
    rate: float | None = None,
    clean: bool = False,
    device: torch.device | str = "cpu",
) -> SimulatorSource:
    """A source for ``sim:NAME``. Left alone, the options are those of the frozen scene.

    width, height: px; another aspect ratio keeps the horizontal field of view. frames: length of
    the sequence, without it the scene's 30 s. seed: another scene of the family. rate: Hz.
    clean: no sensor effects.

    Raises SourceError for an unknown name or an option out of range.
    """
    name = spec.removeprefix(PREFIX)
    if name not in SCENES:
        raise SourceError(
            f"{spec}: no such scene; there are {', '.join(map(PREFIX.__add__, SCENES))}"
        )
    scene = SCENES[name]
    for option, value in (("width", width), ("height", height), ("frames", frames)):
        if value is not None and value < 1:
            raise SourceError(f"{spec}: {option} must be at least 1, got {value}")
    if seed is not None and seed < 0:
        raise SourceError(f"{spec}: seed must not be negative, got {seed}")
    new_rate = check_rate(rate) or scene.rate
    count = frames or max(1, round(scene.frames * new_rate / scene.rate))
    changed = replace(
        scene,
        seed=scene.seed if seed is None else seed,
        frames=count,
        rate=new_rate,
        width=width or scene.width,
        height=height or scene.height,
        # A scene depends on its duration too: it stays as it is unless more is asked for.
        duration=max(scene.duration, (count + 1) / new_rate),
    )
    sensor = Sensor.clean(1, device) if clean else None
    return SimulatorSource(f"{PREFIX}{name}", changed, sensor, device)
