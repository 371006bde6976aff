"""Image panels: what went in, what was predicted, and how well it explains the other frame."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.losses.warped_pair import warp_pair
from depth_motion_ros.models.network import PairPrediction

ROWS = ("image", "warped", "depth", "residual", "mask")


@torch.no_grad()
def panel(
    image_1: Tensor, image_2: Tensor, pair: PairPrediction, K: Tensor, columns: int = 4
) -> NDArray[np.uint8]:
    """(5·H, n·W, 3) RGB of the first n pairs of a batch, rows in the order of ``ROWS``.

    depth is shown as disparity (near = bright), residual by direction (hue) and length, mask is
    white where a pixel lands inside frame 2, red where its residual motion is active.
    """
    n = min(columns, len(image_1))
    warped = warp_pair(image_2, pair, K)
    residual = pair.motion_12.residual.float()
    rows = []
    for i in range(n):
        rows.append(
            np.concatenate(
                (
                    _rgb(image_1[i]),
                    _rgb(warped.image[i]),
                    disparity_colours(pair.depth_1[i, 0].float().cpu().numpy()),
                    _motion_colours(residual[i].cpu().numpy()),
                    _mask_colours(warped.valid[i, 0].cpu().numpy(), warped.active[i, 0]),
                )
            )
        )
    return np.concatenate(rows, axis=1)


def disparity_colours(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of depth (H, W): bright is near, scaled to the 2nd and 98th percentile."""
    disparity = 1 / np.maximum(depth, 1e-6)
    low, high = np.percentile(disparity, (2, 98))
    scaled = np.clip((disparity - low) / max(high - low, 1e-9), 0, 1)
    colours = cv2.applyColorMap((255 * scaled).astype(np.uint8), cv2.COLORMAP_MAGMA)
    return np.asarray(colours[:, :, ::-1], dtype=np.uint8)


def _rgb(image: Tensor) -> NDArray[np.uint8]:
    pixels = (255 * image.detach().float().clamp(0, 1)).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())


def _motion_colours(residual: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Hue: direction in the image plane, or of depth where that is all; value: length."""
    x, y, z = residual
    length = np.sqrt(x * x + y * y + z * z)
    hue = (np.degrees(np.arctan2(y + z, x)) % 360) / 2
    value = 255 * length / max(float(length.max()), 1e-9)
    hsv = np.stack((hue, np.full_like(hue, 255), value), axis=2).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)


def _mask_colours(valid: NDArray[np.bool_], active: Tensor) -> NDArray[np.uint8]:
    colours = np.repeat((255 * valid.astype(np.uint8))[:, :, None], 3, axis=2)
    colours[active.cpu().numpy()] = (220, 40, 40)
    return colours
