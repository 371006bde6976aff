"""Checks at the door that every engine shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.weights import Weights, WeightsArchitectureError
from depth_motion_ros.settings import SettingsError


def engine_config(weights: Weights, input_size: tuple[int, int] | None) -> NetworkConfig:
    """The weights' configuration, at another (width, height) where one is given.

    Raises EngineError for a size that is no multiple of 32.
    """
    if input_size is None:
        return weights.config
    try:
        return weights.config.sized(*input_size)
    except SettingsError as error:
        raise EngineError(f"input_size {input_size}: {error}") from error


def check_architecture(weights: Weights, config: NetworkConfig) -> None:
    """Raises WeightsArchitectureError unless the weights fit an engine of this configuration."""
    if weights.config.architecture != config.architecture:
        raise WeightsArchitectureError(
            f"the engine runs {config.architecture!r}, the weights are for "
            f"{weights.config.architecture!r}; create a new engine for them"
        )


def check_step(
    size: tuple[int, int],
    previous_image: NDArray[np.uint8] | None,
    previous_depth: NDArray[np.float32] | None,
    image: NDArray[np.uint8],
) -> None:
    """The arguments of ``Engine.step`` for an engine of this (width, height).

    Raises ValueError naming the argument that is wrong.
    """
    width, height = size
    _check_array("image", image, (height, width, 3), np.uint8)
    if (previous_image is None) != (previous_depth is None):
        raise ValueError("give previous_image and previous_depth together, or neither")
    if previous_image is not None and previous_depth is not None:
        _check_array("previous_image", previous_image, (height, width, 3), np.uint8)
        _check_array("previous_depth", previous_depth, (height, width), np.float32)


def _check_array(name: str, array: NDArray, shape: tuple[int, ...], dtype: type) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name} must be {shape} {np.dtype(dtype).name}, got {array.shape} {array.dtype.name}"
        )
