"""Pairs of frames as adaptation keeps them: small, immutable, and without a graph behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from depth_motion_ros.models.motion_net import MotionPrediction
from depth_motion_ros.models.network import PairPrediction

_TENSORS = ("image_1", "image_2", "K", "depth_1", "depth_2")


@dataclass(frozen=True, eq=False)
class PairRecord:
    """Two frames at the network's size.

    image_1, image_2: (3, H, W) uint8, the earlier one first. K: (3, 3) float32, pixels of these
    images; None where unknown. depth_1, depth_2: (1, H, W), NaN = unknown, None where all is: the
    truth in m, float32, or what was triangulated, float16, in a unit of its own. displacement: m,
    by odometry or truth; NaN where unknown. stamp: s, of the second frame.
    """

    image_1: Tensor
    image_2: Tensor
    K: Tensor | None = None
    depth_1: Tensor | None = None
    depth_2: Tensor | None = None
    displacement: float = float("nan")
    stamp: float = 0.0

    @property
    def bytes(self) -> int:
        """Memory."""
        parts = (getattr(self, name) for name in _TENSORS)
        return sum(part.nbytes for part in parts if part is not None)


@dataclass(frozen=True, eq=False)
class PairTensors:
    """A batch: images (B, 3, H, W) float32 in [0, 1], K (B, 3, 3), known (B,) bool."""

    image_1: Tensor
    image_2: Tensor
    K: Tensor
    known: Tensor


def batch_of(records: Sequence[PairRecord]) -> PairTensors:
    """Records of one size as a batch."""
    nothing = torch.eye(3)
    return PairTensors(
        torch.stack([record.image_1 for record in records]).float() / 255,
        torch.stack([record.image_2 for record in records]).float() / 255,
        torch.stack([nothing if record.K is None else record.K for record in records]),
        torch.tensor([record.K is not None for record in records]),
    )


def known_depths(records: Sequence[PairRecord]) -> Tensor | None:
    """(2B, 1, H, W) float32 of all first frames, then of all second ones; None where all is NaN."""
    found = [record.depth_1 for record in records] + [record.depth_2 for record in records]
    if all(depth is None for depth in found):
        return None
    nothing = torch.full((1, *records[0].image_1.shape[1:]), torch.nan)
    return torch.stack([nothing if depth is None else depth.float() for depth in found])


def rows_of(pair: PairPrediction, rows: slice) -> PairPrediction:
    """The prediction for some pairs of a batch."""

    def motion_of(motion: MotionPrediction) -> MotionPrediction:
        return MotionPrediction(
            motion.rotation[rows], motion.translation[rows], motion.residual[rows], motion.K[rows]
        )

    return replace(
        pair,
        depth_1=pair.depth_1[rows],
        depth_2=pair.depth_2[rows],
        motion_12=motion_of(pair.motion_12),
        motion_21=motion_of(pair.motion_21),
        K=pair.K[rows],
    )


def tensors_of_record(
    record: PairRecord, name: str
) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """For a file: tensors by names that begin with ``name``, and the numbers by ``name``."""
    tensors = {
        f"{name}.{part}": value for part in _TENSORS if (value := getattr(record, part)) is not None
    }
    # JSON has no NaN.
    known = [] if record.displacement != record.displacement else [record.displacement]
    return tensors, {name: [record.stamp, *known]}


def record_of_tensors(
    tensors: Mapping[str, Tensor], about: Mapping[str, object], name: str
) -> PairRecord:
    """What ``tensors_of_record`` made. Raises KeyError where it is not there."""
    numbers = about[name]
    assert isinstance(numbers, list)
    parts = {part: tensors.get(f"{name}.{part}") for part in _TENSORS}
    return PairRecord(
        tensors[f"{name}.image_1"],
        tensors[f"{name}.image_2"],
        parts["K"],
        parts["depth_1"],
        parts["depth_2"],
        float(numbers[1]) if len(numbers) > 1 else float("nan"),
        float(numbers[0]),
    )
