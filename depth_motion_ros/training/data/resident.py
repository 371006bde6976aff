"""Recorded frames that live on the training device, where pairs are cut out of them.

A GPU trains a small network faster than processors can decode, cut and send its images. A set of a
few thousand small frames fits its memory; then only what is drawn travels (``Plans``), and the
device does the rest. What is drawn is the same as without; pixels differ by their rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from depth_motion_ros.training.data.augment import CropWindow
from depth_motion_ros.training.data.frames import FrameSet
from depth_motion_ros.training.data.pairs import PairDataset, Pairs
from depth_motion_ros.training.triangulation.pairs import TriangulatedLabel, mirrored_motion

_DECODERS = 8


class Plans(NamedTuple):
    """What was drawn for B pairs, before any pixel is touched.

    source: (B,) places of their sources. frames: (B, 2) indices. window: (B, 4) x, y, width and
    height of the crop. mirrored: (B,) bool. jitter: (B, 3). motion: (B, 3, 4) as triangulated, not
    mirrored, NaN where unknown. size: (width, height) of the training images.

    Arrays rather than tensors: Lightning would send those to the device one by one.
    """

    source: NDArray[np.int64]
    frames: NDArray[np.int64]
    window: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    jitter: NDArray[np.float32]
    motion: NDArray[np.float32]
    size: tuple[int, int]


class PlanDataset(torch.utils.data.Dataset[Plans]):
    """The draws of a ``PairDataset`` by (step, slot), without the pixels."""

    def __init__(self, pairs: PairDataset) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, key: tuple[int, int]) -> Plans:
        drawn = self._pairs.draw(key)
        window, motion = drawn.window, self._pairs.motion(drawn)
        return Plans(
            source=np.array([drawn.source]),
            frames=np.array([[drawn.first, drawn.second]]),
            window=np.array([[window.x, window.y, window.width, window.height]]),
            mirrored=np.array([window.mirrored]),
            jitter=drawn.jitter[None],
            motion=motion[None],
            size=drawn.size,
        )


def joined_plans(plans: list[Plans]) -> Plans:
    """The plans of a batch as one."""
    return Plans(
        source=np.concatenate([plan.source for plan in plans]),
        frames=np.concatenate([plan.frames for plan in plans]),
        window=np.concatenate([plan.window for plan in plans]),
        mirrored=np.concatenate([plan.mirrored for plan in plans]),
        jitter=np.concatenate([plan.jitter for plan in plans]),
        motion=np.concatenate([plan.motion for plan in plans]),
        size=plans[0].size,
    )


class _Frames(NamedTuple):
    """All frames of one size: (N, 3, h, w) uint8, and their triangulated depth (N, h, w) half."""

    images: Tensor
    depths: Tensor | None


class ResidentFrames:
    """The frames of several sources on one device.

    Raises torch.OutOfMemoryError where they do not fit; see ``taken``.
    """

    def __init__(
        self, sources: Sequence[FrameSet], device: torch.device, triangulated: bool
    ) -> None:
        self._device = device
        self._cameras = [source.camera for source in sources]
        sizes = list(dict.fromkeys(source.size for source in sources))
        self._group = np.array([sizes.index(source.size) for source in sources])
        self._offset = np.zeros(len(sources), np.int64)
        self._frames: list[_Frames] = []
        for group in range(len(sizes)):
            members = [i for i in range(len(sources)) if self._group[i] == group]
            ends = np.cumsum([len(sources[i]) for i in members])
            self._offset[members] = ends - [len(sources[i]) for i in members]
            self._frames.append(_uploaded([sources[i] for i in members], device, triangulated))

    @staticmethod
    def taken(sources: Sequence[FrameSet], triangulated: bool) -> int:
        """Bytes of device memory that the frames of these sources need."""
        pixels = sum(len(source) * source.size[0] * source.size[1] for source in sources)
        return pixels * (5 if triangulated else 3)

    @staticmethod
    def serves(sources: Sequence[FrameSet], smallest: tuple[int, int], min_crop: float) -> bool:
        """Whether pixels come out as from the loader.

        Not where there are masks, or where the smallest crop is larger than the smallest training
        images, (width, height), both ways: areas would have to be averaged.
        """
        return not any(
            source.has_masks
            or (source.size[0] * min_crop > smallest[0] and source.size[1] * min_crop > smallest[1])
            for source in sources
        )

    def __call__(self, plans: Plans) -> Pairs:
        """Cut out the pairs of a batch, images (B, 3, H, W) float in [0, 1]."""
        count, (width, height) = len(plans.source), plans.size
        one, two = (torch.empty(count, 3, height, width, device=self._device) for _ in range(2))
        depths = [torch.empty(count, 1, height, width, device=self._device) for _ in range(2)]
        groups = self._group[plans.source]
        for group in np.unique(groups):
            frames, rows = self._frames[group], np.flatnonzero(groups == group)
            places = self._on_device(rows)
            x, y = self._pixels(plans, rows)
            for image, depth, column in ((one, depths[0], 0), (two, depths[1], 1)):
                chosen = self._offset[plans.source[rows]] + plans.frames[rows, column]
                index = self._on_device(chosen)
                image[places] = _bilinear(frames.images[index], x, y)
                if frames.depths is not None:
                    depth[places] = _nearest(frames.depths[index], x, y)
        label = None
        if self._frames[0].depths is not None:
            motion = self._on_device(np.stack([
                mirrored_motion(m) if flip else m
                for m, flip in zip(plans.motion, plans.mirrored, strict=True)
            ]))  # fmt: skip
            label = TriangulatedLabel(depths[0], depths[1], motion[:, :, :3], motion[:, :, 3])
        return Pairs(
            image_1=one,
            image_2=two,
            K=self._on_device(self._intrinsics(plans)),
            known=self._on_device(
                np.array([self._cameras[source] is not None for source in plans.source])
            ),
            mask_1=None,
            mask_2=None,
            jitter=self._on_device(plans.jitter),
            triangulated=label,
        )

    def _on_device(self, values: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device, non_blocking=True)

    def _pixels(self, plans: Plans, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Columns (B, W) and rows (B, H) of the frame that the training pixels lie on."""
        window = plans.window[rows].astype(np.float32)
        along = []
        for axis, count in enumerate(plans.size):
            place = np.arange(count, dtype=np.float32)[None] + 0.5
            place = place * (window[:, 2 + axis, None] / count) - 0.5
            if axis == 0:
                flipped = plans.mirrored[rows]
                place[flipped] = place[flipped, ::-1]
            place = np.clip(place, 0, window[:, 2 + axis, None] - 1)
            along.append(self._on_device(place + window[:, axis, None]))
        return along[0], along[1]

    def _intrinsics(self, plans: Plans) -> NDArray[np.float32]:
        found = np.tile(np.eye(3, dtype=np.float32), (len(plans.source), 1, 1))
        for row, source in enumerate(plans.source):
            camera = self._cameras[source]
            if camera is not None:
                x, y, width, height = map(int, plans.window[row])
                window = CropWindow(x, y, width, height, bool(plans.mirrored[row]))
                found[row] = window.of_camera(camera, *plans.size).K
        return found


def _uploaded(sources: Sequence[FrameSet], device: torch.device, triangulated: bool) -> _Frames:
    def read(source: FrameSet, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float16] | None]:
        image = source.image(index).transpose(2, 0, 1)
        if not triangulated:
            return image, None
        depth = source.triangulated(index)
        if depth is None:
            depth = np.full(source.size[::-1], np.nan, np.float32)
        return image, depth.astype(np.float16)

    with ThreadPoolExecutor(_DECODERS) as pool:
        tasks = [pool.submit(read, source, i) for source in sources for i in range(len(source))]
        found = [task.result() for task in tasks]
    images = torch.from_numpy(np.stack([image for image, _ in found])).to(device)
    depths = [depth for _, depth in found if depth is not None]
    return _Frames(images, torch.from_numpy(np.stack(depths)).to(device) if depths else None)


def _bilinear(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """images: (B, 3, h, w) uint8 at columns x (B, W) and rows y (B, H): (B, 3, H, W) in [0, 1]."""
    height, width = images.shape[2:]
    across = ((2 * x + 1) / width - 1)[:, None, :].expand(-1, y.shape[1], -1)
    down = ((2 * y + 1) / height - 1)[:, :, None].expand(-1, -1, x.shape[1])
    grid = torch.stack((across, down), dim=3)
    found = F.grid_sample(
        images.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found.clamp_(0, 1)


def _nearest(depths: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """depths: (B, h, w), read at the nearest pixels: (B, 1, H, W) float32."""
    rows = torch.arange(len(depths), device=depths.device)[:, None, None]
    column, row = x.round().long()[:, None, :], y.round().long()[:, :, None]
    return depths[rows, row, column].float()[:, None]
