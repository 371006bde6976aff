"""From light to a photograph: exposure, colour balance, vignetting, blur, shutter, noise, JPEG.

Noise comes from integer hashes of (seed, place), so that the CPU and a GPU draw the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_motion_ros.geometry.warp import sample, transform_depth

GAMMA = 2.2
BLUR_SAMPLES = 5
_MASK = 0xFFFFFFFF
# Tables K.1 and K.2 of ITU-T T.81 (JPEG), quality 50.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sensor:
    """Settings of B cameras, (B,) each but white_balance (B, 3).

    exposure: gain on linear light. white_balance: gain per channel. vignette: share of light lost
    in the corners. noise: standard deviation of the image's noise, [0, 1]. blur: share of the
    frame interval that the shutter is open. readout: share of the frame interval between the
    first row's exposure and the last's; the truth is that of the middle row. jpeg: quality 1 to
    100, 0 = not compressed. gray: bool.
    """

    exposure: Tensor
    white_balance: Tensor
    vignette: Tensor
    noise: Tensor
    blur: Tensor
    readout: Tensor
    jpeg: Tensor
    gray: Tensor

    @classmethod
    def clean(cls, count: int, device: torch.device | str = "cpu") -> Sensor:
        """Nothing but the tone curve."""
        one, zero = torch.ones(count, device=device), torch.zeros(count, device=device)
        white = torch.ones(count, 3, device=device)
        return cls(one, white, zero, zero, zero, zero, zero, zero.bool())

    @classmethod
    def typical(cls, count: int, device: torch.device | str = "cpu") -> Sensor:
        """A decent camera in daylight: a little vignetting and noise."""
        clean = cls.clean(count, device)
        some = torch.ones(count, device=device)
        return cls(
            clean.exposure, clean.white_balance, 0.12 * some, 0.006 * some,
            clean.blur, clean.readout, clean.jpeg, clean.gray,
        )  # fmt: skip

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        count: int,
        device: torch.device | str = "cpu",
        gray: float = 0.25,
    ) -> Sensor:
        """Many kinds of cameras; ``gray``: share of images without colour."""

        def some(share: float, low: float, high: float) -> Tensor:
            values = rng.uniform(low, high, count) * (rng.random(count) < share)
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        balance = np.exp(rng.normal(0.0, 0.06, (count, 3)))
        return cls(
            exposure=torch.as_tensor(
                np.exp(rng.normal(0.0, 0.25, count)), dtype=torch.float32, device=device
            ),
            white_balance=torch.as_tensor(balance, dtype=torch.float32, device=device),
            vignette=some(0.7, 0.05, 0.4),
            noise=some(0.9, 0.002, 0.02),
            blur=some(0.25, 0.1, 0.5),
            readout=some(0.1, 0.05, 0.25),
            jpeg=some(0.4, 40.0, 95.0).round(),
            gray=some(gray, 1.0, 1.0).bool(),
        )

    def repeated(self, times: int) -> Sensor:
        """The same cameras again behind themselves: (times * B,)."""
        return Sensor(*(torch.cat([value] * times) for value in vars(self).values()))


def image_flow(depth: Tensor, motion: Tensor, ego: Tensor, K: Tensor) -> Tensor:
    """(B, 2, H, W) pixels that each surface point moves in the image until the next frame.

    depth: (B, 1, H, W). motion: (B, 3, H, W). ego: (B, 4, 4). K: (B, 3, 3). Unlike
    ``geometry.warp`` the place is not clamped to the image, only to a frame's width around it.
    """
    rotation, translation = ego[:, :3, :3].float(), ego[:, :3, 3].float()
    warp = transform_depth(depth, rotation, translation[..., None, None] + motion, K)
    height, width = depth.shape[-2:]
    ys = torch.arange(height, device=depth.device, dtype=torch.float32)
    xs = torch.arange(width, device=depth.device, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"))
    ahead = warp.depth > 0
    return torch.where(ahead, warp.pixel_xy - grid, 0.0)


def photograph(image: Tensor, sensor: Sensor, seed: Tensor, flow: Tensor | None = None) -> Tensor:
    """An image as a camera would store it, in [0, 1].

    image: (B, 3, H, W) linear light. seed: (B,) long, of the noise. flow: (B, 2, H, W) pixels per
    frame interval; without it neither blur nor shutter is drawn.
    """
    if flow is not None:
        image = _moved(image, sensor, flow)
    gain = sensor.exposure[:, None] * sensor.white_balance
    image = image * gain[..., None, None]
    if (sensor.vignette > 0).any():
        image = image * (1 - sensor.vignette[:, None, None, None] * _radius2(image))
    # A shoulder instead of a hard limit: bright plaster keeps its texture.
    image = image * (1 + image / 4.0) / (1 + image)
    image = image.clamp(0.0, 1.0) ** (1 / GAMMA)
    if sensor.gray.any():
        luma = (image * image.new_tensor((0.299, 0.587, 0.114))[:, None, None]).sum(1, True)
        image = torch.where(sensor.gray[:, None, None, None], luma, image)
    if (sensor.noise > 0).any():
        image = image + sensor.noise[:, None, None, None] * _noise(image, seed, sensor.gray)
    compressed = (sensor.jpeg > 0).nonzero()[:, 0]
    if len(compressed):
        image[compressed] = _jpeg(image[compressed], sensor.jpeg[compressed])
    return image.clamp(0.0, 1.0)


def _moved(image: Tensor, sensor: Sensor, flow: Tensor) -> Tensor:
    """Motion blur and rolling shutter, drawn along the flow."""
    chosen = ((sensor.blur > 0) | (sensor.readout > 0)).nonzero()[:, 0]
    if not len(chosen):
        return image
    height, width = image.shape[-2:]
    ys = torch.arange(height, device=image.device, dtype=torch.float32)
    xs = torch.arange(width, device=image.device, dtype=torch.float32)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"))
    row_time = (ys / max(height - 1, 1) - 0.5)[:, None]
    part, moves = image[chosen], flow[chosen]
    total = torch.zeros_like(part)
    for step in np.linspace(-0.5, 0.5, BLUR_SAMPLES):
        when = (
            sensor.blur[chosen, None, None] * step + sensor.readout[chosen, None, None] * row_time
        )
        total = total + sample(part, grid - moves * when[:, None])
    result = image.clone()
    result[chosen] = total / BLUR_SAMPLES
    return result


def _radius2(image: Tensor) -> Tensor:
    """Squared distance from the centre, 1 in the corners, (H, W)."""
    height, width = image.shape[-2:]
    y = torch.linspace(-1, 1, height, device=image.device)[:, None]
    x = torch.linspace(-1, 1, width, device=image.device)[None]
    return 0.5 * (x * x + y * y)


def _noise(image: Tensor, seed: Tensor, gray: Tensor) -> Tensor:
    """Nearly normal noise of unit deviation: the sum of a hash's four bytes.

    A gray camera's three channels get the same.
    """
    batch, channels, height, width = image.shape
    place = torch.arange(channels * height * width, device=image.device).reshape(1, channels, -1)
    plain = torch.arange(height * width, device=image.device).reshape(1, 1, -1)
    place = torch.where(gray[:, None, None], plain, place)
    value = (place + (seed.long()[:, None, None] & 0xFFFF) * 0x9E3779B1) & _MASK
    for multiplier in (0x2C1B3C6D, 0x297A2D39):
        value = ((value ^ (value >> 16)) * multiplier) & _MASK
    value = value ^ (value >> 15)
    total = (value & 255) + (value >> 8 & 255) + (value >> 16 & 255) + (value >> 24)
    # Four bytes: mean 510, deviation sqrt(4 * (256^2 - 1) / 12) = 147.8.
    return ((total.float() - 510.0) / 147.8).reshape(batch, channels, height, width)


def _jpeg(image: Tensor, quality: Tensor) -> Tensor:
    """What baseline JPEG with 4:2:0 colour does to an image; quality (B,) in 1..100."""
    height, width = image.shape[-2:]
    padded = functional.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate") * 255
    r, g, b = padded.unbind(1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    colors = torch.stack(((b - luma) * 0.564, (r - luma) * 0.713), dim=1)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    luma = _quantise(luma[:, None] - 128, _LUMA, scale)[:, 0] + 128
    colors = _quantise(functional.avg_pool2d(colors, 2), _CHROMA, scale)
    colors = functional.interpolate(colors, scale_factor=2, mode="bilinear")
    blue, red = colors.unbind(1)
    r, b = luma + red / 0.713, luma + blue / 0.564
    g = (luma - 0.299 * r - 0.114 * b) / 0.587
    return torch.stack((r, g, b), dim=1)[..., :height, :width] / 255


def _quantise(plane: Tensor, table: tuple[int, ...], scale: Tensor) -> Tensor:
    """Round the 8x8 cosine coefficients of (B, C, H, W) to steps of the scaled table."""
    k = torch.arange(8, device=plane.device, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * np.pi / 16) * 0.5
    basis[0] /= np.sqrt(2.0)
    batch, channels, height, width = plane.shape
    blocks = plane.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    steps = torch.tensor(table, device=plane.device, dtype=torch.float32).reshape(8, 8)
    steps = ((steps * scale[:, None, None] + 50) / 100).floor().clamp(1, 255)
    steps = steps[:, None, None, None]
    coefficients = torch.round(basis @ blocks @ basis.T / steps) * steps
    blocks = (basis.T @ coefficients @ basis).transpose(3, 4)
    return blocks.reshape(batch, channels, height, width)
