"""What networks see of a batch, and what losses take of their predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from depth_motion_ros.models.network import PairPrediction
from depth_motion_ros.training.data.augment import apply_jitter
from depth_motion_ros.training.data.pairs import Pairs

Part = TypeVar("Part")


def images_of(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Both images of a batch as (B, 3, H, W) float32 in [0, 1], with their colour jitter."""
    one, two = (_unit(image) for image in (pairs.image_1, pairs.image_2))
    return apply_jitter(one, pairs.jitter), apply_jitter(two, pairs.jitter)


def _unit(image: Tensor) -> Tensor:
    """Recorded images come as bytes, rendered ones as they are."""
    return image.float() / 255 if image.dtype == torch.uint8 else image


def predict(
    network: Callable[..., PairPrediction], image_1: Tensor, image_2: Tensor, gain: float = 1.0
) -> PairPrediction:
    """What a network in channels_last format says of images (B, 3, H, W) in contiguous format.

    The prediction is in float32, as losses in half precision underflow, and contiguous, which
    suits what follows the networks.
    """
    images = (i.contiguous(memory_format=torch.channels_last) for i in (image_1, image_2))
    prediction = network(*images, gain)
    return map_tensors(prediction, lambda tensor: tensor.float().contiguous())  # type: ignore[no-any-return]


def rows_of(pair: Part, rows: slice) -> Part:
    """The prediction for some samples of a batch."""
    return map_tensors(pair, lambda tensor: tensor[rows])


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same dataclass, and those inside it, with ``function`` applied to every tensor."""
    if isinstance(value, Tensor):
        return function(value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: map_tensors(getattr(value, f.name), function) for f in fields(value)}
        return replace(value, **changed)
    return value
