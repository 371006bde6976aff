"""Depth metrics of a network while it trains, as a plain function to hand to the trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.evaluate import EvaluationOptions, evaluate
from depth_motion_ros.evaluation.predictor import NetworkPredictor
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.sources.open import open_source

VALIDATED = ("abs_rel", "rmse_log", "d1")

Validator = Callable[[DepthMotionNet], dict[str, float]]


def depth_validator(
    specs: Sequence[str], batch: int = 4, limit: int | None = None, crop: bool = False
) -> Validator:
    """A function from a network to its depth metrics on sequences with true depth.

    specs: what ``open_source`` opens; opened anew every time, so nothing is held in between.
    Returns ``NAME/METRIC`` for every sequence and ``METRIC``, the mean over sequences, for the
    metrics of VALIDATED (median scaling). The network is left in the mode it came in.

    Raises EvaluationError for no specs here, and for a sequence without true depth when called.
    """
    specs = [str(spec) for spec in specs]
    if not specs:
        raise EvaluationError("depth validation needs at least one sequence with true depth")
    options = EvaluationOptions(
        batch=batch, limit=limit, crop=crop, motion=False, with_baselines=False
    )

    def validate(network: DepthMotionNet) -> dict[str, float]:
        predictor = NetworkPredictor(network)
        found: dict[str, float] = {}
        for spec in specs:
            with open_source(spec) as source:
                metrics = evaluate(predictor, source, options).metrics
                found |= {f"{source.name}/{name}": metrics[name] for name in VALIDATED}
        means = {
            name: float(np.mean([v for key, v in found.items() if key.endswith(f"/{name}")]))
            for name in VALIDATED
        }
        return {**means, **found}

    return validate
