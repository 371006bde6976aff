"""Whether adapted weights see the same scene as those that they would replace.

The learner's gates use many pairs and the rehearsal set; this is the node's own check, on the
current frame, against weights that merely look like an adaptation of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_motion_ros.engines.interface import RawPrediction
from depth_motion_ros.nodes.weights_exchange.protocol import WeightsExchangeError

# The learner may shift median depth by exp(0.25) = 1.28 since its first weights; one frame varies
# more than the median over many.
MOST_SHIFT = 1.5
# Standard deviation of log depth over the image, as a share of that before: less is a wall.
LEAST_SPREAD = 0.2


def check_same_scene(before: RawPrediction, after: RawPrediction) -> None:
    """Compare two predictions for one pair of images.

    Raises WeightsExchangeError (cause ``implausible``) where the new prediction is not finite, its
    median depth differs by more than ``MOST_SHIFT``, or its depth has collapsed.
    """
    if not _is_finite(after):
        raise WeightsExchangeError(
            "implausible", "the new weights give depth or motion that is NaN"
        )
    shift = float(np.median(after.depth) / np.median(before.depth))
    if not 1 / MOST_SHIFT <= shift <= MOST_SHIFT:
        raise WeightsExchangeError(
            "implausible",
            f"with the new weights the newest frame is {shift:.3g} times as far away; at "
            f"most {MOST_SHIFT:g} or 1/{MOST_SHIFT:g} is accepted",
        )
    spread, least = _spread(after.depth), LEAST_SPREAD * _spread(before.depth)
    if spread < least:
        raise WeightsExchangeError(
            "implausible",
            f"with the new weights the depth of the newest frame is flat: log depth varies "
            f"by {spread:.3g}, at least {least:.3g} is accepted",
        )


def _is_finite(answer: RawPrediction) -> bool:
    motion = answer.motion
    values = [answer.depth]
    if motion is not None:
        values += [motion.rotation, motion.translation, motion.residual, motion.K]
    return all(np.isfinite(array).all() for array in values) and bool((answer.depth > 0).all())


def _spread(depth: NDArray[np.float32]) -> float:
    return float(np.log(depth).std())
