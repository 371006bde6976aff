"""One camera in; depth, ego-motion and moving objects out.

    from depth_motion_ros import Estimator, Weights, create_engine, open_source

    estimator = Estimator(create_engine(Weights.from_file("default")))
    for frame in open_source("drive.mp4"):
        estimate = estimator.process(frame)

Names are loaded when they are first used, so that importing a part costs only that part.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_motion_ros.engines.select import create_engine
    from depth_motion_ros.estimation.estimate import Estimate
    from depth_motion_ros.estimation.estimator import Estimator
    from depth_motion_ros.estimation.settings import EstimatorSettings
    from depth_motion_ros.geometry.camera import Camera
    from depth_motion_ros.models.weights import Weights
    from depth_motion_ros.sources.frame import Frame
    from depth_motion_ros.sources.open import open_source

__all__ = [
    "Camera", "Estimate", "Estimator", "EstimatorSettings", "Frame", "Weights", "create_engine",
    "open_source",
]  # fmt: skip

_HOMES = {
    "Camera": "geometry.camera",
    "Estimate": "estimation.estimate",
    "Estimator": "estimation.estimator",
    "EstimatorSettings": "estimation.settings",
    "Frame": "sources.frame",
    "Weights": "models.weights",
    "create_engine": "engines.select",
    "open_source": "sources.open",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
