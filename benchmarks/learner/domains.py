"""What the learner is shown: domains that no weights have seen, and hostile video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.simulator.appearance.textures import TextureBank
from depth_motion_ros.simulator.sensor import Sensor
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.simulated import SCENES, NamedScene, SimulatorSource

Image = NDArray[np.uint8]
RATE = 10.0
STEP_NS = 100_000_000
# Outside what the trainer draws: its textures are those of bank 0, its seeds begin at a million,
# its cameras see 45 to 100 degrees.
_TEXTURES = 1
_SEED = 104
_VIEWS = {"indoor": 108.0, "yard": 40.0, "drive": 40.0, "handheld": 108.0, "crowd": 40.0}
DOMAINS = tuple(_VIEWS)


class UnseenSource(SimulatorSource):
    """A frozen scene of a family with another camera, another light and other textures.

    Warm, dim light on a cheap sensor: strong vignetting, noise and JPEG. seconds: at 10 Hz.
    width: px; the aspect ratio is 5:3.
    """

    def __init__(self, family: str, seconds: float, width: int) -> None:
        scene = replace(
            SCENES[family],
            seed=_SEED,
            rate=RATE,
            frames=round(seconds * RATE),
            width=width,
            height=round(width * 0.6),
            field_of_view=_VIEWS[family],
            duration=seconds + 1,
        )
        super().__init__(f"unseen:{family}", scene, _cheap_sensor())
        self._bank = TextureBank.from_seed(_TEXTURES)


def _cheap_sensor() -> Sensor:
    one = torch.ones(1)
    return Sensor(
        exposure=0.7 * one,
        white_balance=torch.tensor([[1.15, 1.0, 0.8]]),
        vignette=0.45 * one,
        noise=0.012 * one,
        blur=0 * one,
        readout=0 * one,
        jpeg=60 * one,
        gray=torch.zeros(1, dtype=torch.bool),
    )


def usual_source(family: str, seconds: float, width: int) -> SimulatorSource:
    """A scene as the trainer draws them, with a seed that it does not."""
    base: NamedScene = SCENES[family]
    scene = replace(
        base,
        rate=RATE,
        frames=round(seconds * RATE),
        width=width,
        height=round(width * base.height / base.width),
        duration=max(base.duration, seconds + 1),
    )
    return SimulatorSource(f"usual:{family}", scene)


@dataclass(frozen=True, eq=False)
class Stage:
    """What hostile video is made of: clips of moving video, all taken with one camera."""

    clips: list[list[Image]]
    camera: Camera

    @property
    def picture(self) -> Image:
        """One view, for what stands still."""
        return self.clips[0][0]


Hostile = Callable[[Stage, np.random.Generator, int], Image]


def still(stage: Stage, rng: np.random.Generator, index: int) -> Image:
    """The robot stands; only noise changes."""
    return _noisy(stage.picture, rng, 2.0)


def covered(stage: Stage, rng: np.random.Generator, index: int) -> Image:
    """A hand on the lens: dark, with a glow that wanders."""
    height, width = stage.picture.shape[:2]
    x = np.linspace(0, 1, width)[None] - 0.5 - 0.3 * np.sin(index / 9)
    y = np.linspace(0, 1, height)[:, None] - 0.5 - 0.3 * np.cos(index / 7)
    glow = 14 + 20 * np.exp(-4 * (x * x + y * y))
    return _noisy(np.repeat(glow[..., None], 3, axis=2), rng, 3.0)


def flicker(stage: Stage, rng: np.random.Generator, index: int) -> Image:
    """Moving video under a lamp that flickers by a factor of up to two."""
    return _noisy(_played(stage.clips[0], index) * np.exp(rng.uniform(-0.7, 0.0)), rng, 2.0)


def wall(stage: Stage, rng: np.random.Generator, index: int) -> Image:
    """A wall of one colour fills the view while the robot drives along it."""
    height, width = stage.picture.shape[:2]
    ramp = np.linspace(-6, 6, width)[None] * np.cos(index / 20) + np.zeros((height, 1))
    return _noisy(ramp[..., None] + np.array([150.0, 140.0, 120.0]), rng, 3.0)


def cuts(stage: Stage, rng: np.random.Generator, index: int) -> Image:
    """Every frame comes from another place."""
    clip = stage.clips[rng.integers(len(stage.clips))]
    return _noisy(clip[rng.integers(len(clip))], rng, 2.0)


def rotation(stage: Stage, rng: np.random.Generator, index: int) -> Image:
    """The camera turns on the spot: exact, by the homography of a turn, on one picture."""
    camera = stage.camera
    angles = (0.05 * np.sin(index / 11), 0.16 * np.sin(index / 8), 0.03 * np.sin(index / 13))
    turn = cv2.Rodrigues(np.array(angles))[0]
    # Zoomed in so that the picture's border stays outside.
    zoomed = camera.K * np.array([[1.5], [1.5], [1.0]])
    zoomed[:2, 2] = camera.K[:2, 2]
    homography = camera.K @ turn @ np.linalg.inv(zoomed)
    view = cv2.warpPerspective(
        stage.picture,
        homography,
        camera.size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _noisy(view, rng, 2.0)


def truck(stage: Stage, rng: np.random.Generator, index: int) -> Image:
    """The robot stands while the side of a truck, over nine tenths of the view, slides past."""
    picture = stage.picture
    height, width = picture.shape[:2]
    side = cv2.resize(stage.clips[-1][0][height // 4 : height // 2], (2 * width, height))
    shift = int(index * 0.02 * width) % (2 * width)
    view = picture.astype(np.float32)
    top, bottom = round(0.03 * height), round(0.93 * height)
    view[top:bottom] = np.roll(side, -shift, axis=1)[top:bottom, :width]
    return _noisy(view, rng, 2.0)


HOSTILE: dict[str, Hostile] = {
    "still": still,
    "covered": covered,
    "flicker": flicker,
    "wall": wall,
    "cuts": cuts,
    "rotation": rotation,
    "truck": truck,
}


def hostile_frames(
    stage: Stage, seconds: float, start_ns: int, seed: int
) -> Iterator[tuple[str, Frame]]:
    """Every kind in turn, in pieces of ten seconds, for so many seconds in all."""
    rng = np.random.default_rng(seed)
    names = list(HOSTILE)
    piece = round(10 * RATE)
    for index in range(round(seconds * RATE)):
        name = names[index // piece % len(names)]
        image = HOSTILE[name](stage, rng, index)
        yield name, Frame(start_ns + index * STEP_NS, image, stage.camera)


def _played(clip: list[Image], index: int) -> NDArray[np.float32]:
    """There and back, so that a short clip lasts."""
    place = index % (2 * len(clip) - 2)
    return clip[place if place < len(clip) else 2 * len(clip) - 2 - place].astype(np.float32)


def _noisy(image: NDArray, rng: np.random.Generator, sigma: float) -> Image:
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + sigma * noise, 0, 255).astype(np.uint8)
