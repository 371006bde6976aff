"""Changes to a pair that keep its geometry and its intrinsics true."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.training.recipe import AugmentSection

# ITU-R BT.601 luma.
_LUMA = (0.299, 0.587, 0.114)
# Sizes of false shadows: pieces of noise from top to bottom.
_SHADE_ROWS = (2, 4, 9, 20)


@dataclass(frozen=True)
class CropWindow:
    """A crop in pixels, and whether the result is mirrored."""

    x: int
    y: int
    width: int
    height: int
    mirrored: bool

    def of_image(self, image: NDArray, width: int, height: int) -> NDArray:
        """The window of an (H, W) or (H, W, C) image at (height, width), resized by area."""
        view = image[self.y : self.y + self.height, self.x : self.x + self.width]
        if view.shape[:2] != (height, width):
            # Averaging areas is right for shrinking; for enlarging OpenCV's INTER_AREA repeats
            # pixels, which puts steps into the image gradient.
            shrinks = width <= self.width and height <= self.height
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            view = cv2.resize(view, (width, height), interpolation=method)
        if self.mirrored:
            view = view[:, ::-1]
        return np.ascontiguousarray(view)

    def of_labels(self, labels: NDArray, width: int, height: int) -> NDArray:
        """The window of an (H, W) map of labels or depths, by the nearest pixel."""
        view = labels[self.y : self.y + self.height, self.x : self.x + self.width]
        view = cv2.resize(view, (width, height), interpolation=cv2.INTER_NEAREST)
        if self.mirrored:
            view = view[:, ::-1]
        return np.ascontiguousarray(view)

    def of_camera(self, camera: Camera, width: int, height: int) -> Camera:
        """The camera of the window's image."""
        result = camera.cropped(self.x, self.y, self.width, self.height).resized(width, height)
        return result.flipped() if self.mirrored else result


def whole(width: int, height: int) -> CropWindow:
    """The window that changes nothing but the size."""
    return CropWindow(0, 0, width, height, False)


def draw_window(
    rng: np.random.Generator, width: int, height: int, recipe: AugmentSection
) -> CropWindow:
    """A random crop of a (height, width) image; its two sides are drawn independently.

    Always draws the same number of random numbers, whatever the recipe.
    """
    along_x, along_y, x, y, mirror = rng.random(5)
    crop_width = max(1, round(width * (recipe.min_crop + (1 - recipe.min_crop) * along_x)))
    crop_height = max(1, round(height * (recipe.min_crop + (1 - recipe.min_crop) * along_y)))
    return CropWindow(
        x=int(x * (width - crop_width + 1)),
        y=int(y * (height - crop_height + 1)),
        width=crop_width,
        height=crop_height,
        mirrored=bool(mirror < recipe.flip),
    )


def draw_jitter(rng: np.random.Generator, recipe: AugmentSection) -> NDArray[np.float32]:
    """(3,) factors on brightness, contrast and saturation; saturation 0 is gray."""
    unit = rng.random(4)
    strengths = np.array([recipe.brightness, recipe.contrast, recipe.saturation])
    factors = 1 + strengths * (2 * unit[:3] - 1)
    if unit[3] < recipe.gray:
        factors[2] = 0.0
    return factors.astype(np.float32)


def apply_jitter(images: Tensor, factors: Tensor) -> Tensor:
    """images: (B, 3, H, W) in [0, 1]; factors: (B, 3) as from ``draw_jitter``.

    Brightness multiplies, contrast stretches about middle gray, saturation about the luma. The
    same factors make the same change to both frames of a pair: a stretch about each frame's own
    mean would not, and no warp could explain the difference.
    """
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    images = images * brightness
    images = 0.5 + (images - 0.5) * contrast
    luma = (images * images.new_tensor(_LUMA)[None, :, None, None]).sum(dim=1, keepdim=True)
    return torch.clamp(luma + (images - luma) * saturation, 0.0, 1.0)


def apply_shade(images: Tensor, strength: float) -> Tensor:
    """Cast false shadows on images (B, 3, H, W), soft and hard, none darker than 1 - strength.

    Rendered light is even: a network that sees nothing else takes a dark bush for a near wall.
    Each image is shaded by itself, so its pair no longer matches. Draws from torch's own generator.
    """
    if strength == 0:
        return images
    count, _, height, width = images.shape
    field = images.new_zeros(count, 1, height, width)
    for rows in _SHADE_ROWS:
        noise = torch.randn(count, 1, rows, max(2, rows * width // (2 * height)))
        weight = torch.rand(count, 1, 1, 1)
        smooth = F.interpolate((noise * weight).to(images), (height, width), mode="bicubic")
        field = field + smooth
    # From a soft gradient of light to the edge of a shadow.
    sharpness = torch.exp(torch.empty(count, 1, 1, 1).uniform_(-0.5, 3.0)).to(images)
    offset = torch.randn(count, 1, 1, 1).to(images)
    depth = (strength * torch.rand(count, 1, 1, 1)).to(images)
    return images * (1 - depth * torch.sigmoid(sharpness * (field - offset)))
