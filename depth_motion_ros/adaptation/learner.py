"""What learns: float32 masters, the trainer's objective, Adam, clipping and an average."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from depth_motion_ros.adaptation.pairing.records import PairRecord, batch_of, known_depths, rows_of
from depth_motion_ros.adaptation.settings import (
    ALL,
    DECODERS,
    DEPTH_DECODER,
    AdaptationSettings,
)
from depth_motion_ros.losses.objective import LossWeights, Objective
from depth_motion_ros.losses.supervised import aligned_log_loss
from depth_motion_ros.models.network import DepthMotionNet, PairPrediction
from depth_motion_ros.models.norm import RandomizedLayerNorm
from depth_motion_ros.models.weights import Weights, build_network, weights_of

# As the trainer's default recipe has them.
LOSSES = LossWeights(depth_smoothness=1e-2, depth_variance=1e-6)
ANCHOR, TRIANGULATED, TRUE_DEPTH = "anchor", "triangulated", "true_depth"


@dataclass(frozen=True, eq=False)
class LearnerBatch:
    """Pairs of one optimiser step.

    live: newest admitted pairs; K is None where intrinsics are learned.
    own: pairs of the robot's own past; K as in ``live``.
    rehearsal: pairs of the rehearsal set.
    first_depths: (2, 1, H, W) of each rehearsal pair, predicted by the first weights.
    """

    live: Sequence[PairRecord]
    own: Sequence[PairRecord]
    rehearsal: Sequence[PairRecord]
    first_depths: Sequence[Tensor]


@dataclass(frozen=True)
class StepReport:
    """One optimiser step.

    step: how many there have been, this one included. loss: of the whole batch; live_loss: of its
    live and own pairs by the objective; terms: by name, of the live and own pairs, and ``anchor``,
    ``triangulated``, ``true_depth``. gradient_norm:
    before clipping. skipped: something was not finite, and nothing was changed. seconds: processor
    time.
    """

    step: int
    loss: float
    live_loss: float
    terms: dict[str, float]
    gradient_norm: float
    skipped: bool
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class LearnerState:
    """Of a learner that was saved. tensors: by part (``master``, ``average``, and the two moments
    of Adam), then by name of the parameter. numbers: the steps Adam has made, by parameter."""

    tensors: dict[str, dict[str, Tensor]]
    numbers: dict[str, float]


class Learner:
    """Masters that learn, and their average over steps.

    weights: where to begin; settings: what learns, and how fast.
    """

    def __init__(self, weights: Weights, settings: AdaptationSettings) -> None:
        self._settings = settings
        self._objective = Objective(LOSSES)
        self._metadata = dict(weights.metadata)
        self.network = build_network(weights).train()
        # A learner cannot afford noise in its statistics: each frame is seen once or twice.
        self.network.set_norm_noise(0.0)
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        motion = self.network.motion_net
        self._intrinsics = [*motion.focal.parameters(), *motion.centre.parameters()]
        self._parameters = trainable_parameters(self.network, settings.trainable)
        self.network.requires_grad_(False)
        for parameter in self._parameters:
            parameter.requires_grad_(True)
        self.optimiser = torch.optim.Adam(self._parameters, settings.learning_rate)
        self.steps = 0
        self.skipped_steps = 0

    def restart(self, weights: Weights) -> None:
        """Masters and average from ``weights``, and an optimiser without memory."""
        state = {name: tensor.float() for name, tensor in weights.tensors.items()}
        self.network.load_state_dict(state)
        self.averaged.load_state_dict(state)
        self.optimiser.state.clear()

    def step(self, batch: LearnerBatch) -> StepReport:
        """Learn from a batch; where something is not finite nothing changes but the count."""
        self._freeze_known_intrinsics(batch)
        loss, live_loss, terms = self._loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self._parameters, self._settings.clip_norm)
        is_finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(loss))
        if is_finite:
            self.optimiser.step()
            average = get_ema_multi_avg_fn(self._settings.ema_decay)
            average(
                list(self.averaged.parameters()),
                [parameter.detach() for parameter in self.network.parameters()],
                None,
            )
        else:
            self.skipped_steps += 1
        self.steps += 1
        return StepReport(
            self.steps,
            float(loss.detach()),
            float(live_loss.detach()),
            {name: float(value.detach()) for name, value in terms.items()},
            float(norm),
            not is_finite,
        )

    def weights(self, share: float = 1.0, start: Weights | None = None) -> Weights:
        """A copy of the average, or of what lies at a share of the way to it from ``start``.

        Raises WeightsValueError where it is not finite.
        """
        found = weights_of(self.averaged).tensors
        if start is not None:
            found = {
                name: torch.lerp(start.tensors[name].float(), end, share)
                for name, end in found.items()
            }
        return Weights(found, self._metadata)

    def state(self) -> LearnerState:
        """For a file."""
        names = {id(p): name for name, p in self.network.named_parameters()}
        moments = [(names[id(p)], found) for p, found in self.optimiser.state.items()]
        return LearnerState(
            {
                "master": dict(self.network.state_dict()),
                "average": dict(self.averaged.state_dict()),
                "first_moment": {name: found["exp_avg"] for name, found in moments},
                "second_moment": {name: found["exp_avg_sq"] for name, found in moments},
            },
            {name: float(found["step"]) for name, found in moments},
        )

    def restore(self, state: LearnerState) -> None:
        """Continue from a saved state. Raises KeyError or RuntimeError where it does not fit."""
        self.network.load_state_dict(state.tensors["master"])
        self.averaged.load_state_dict(state.tensors["average"])
        self.optimiser.state.clear()
        trained = {id(parameter) for parameter in self._parameters}
        for name, parameter in self.network.named_parameters():
            if id(parameter) in trained and name in state.numbers:
                self.optimiser.state[parameter] = {
                    "step": torch.tensor(state.numbers[name]),
                    "exp_avg": state.tensors["first_moment"][name].clone(),
                    "exp_avg_sq": state.tensors["second_moment"][name].clone(),
                }

    def _loss(self, batch: LearnerBatch) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        robots = [*batch.live, *batch.own]
        records = [*robots, *batch.rehearsal]
        data = batch_of(records)
        pair = self.network(data.image_1, data.image_2)
        K = torch.where(data.known[:, None, None], data.K, pair.K)
        count = len(robots)
        # One objective for each part: some of its terms normalise over the batch they see.
        own = self._objective(
            data.image_1[:count], data.image_2[:count], rows_of(pair, slice(0, count)), K[:count]
        )
        terms = dict(own.terms)
        total = own.total * (count / len(records))
        total = total + self._add_depth(terms, TRIANGULATED, pair, slice(0, count), records)
        if batch.rehearsal:
            rows = slice(count, None)
            rest = self._objective(
                data.image_1[rows], data.image_2[rows], rows_of(pair, rows), K[rows]
            )
            total = total + rest.total * (1 - count / len(records))
            total = total + self._add_depth(terms, TRUE_DEPTH, pair, rows, records)
            if self._settings.anchor:
                first = torch.stack(list(batch.first_depths))
                now = torch.stack((pair.depth_1[rows], pair.depth_2[rows]), dim=1)
                drift = (now.clamp(min=1e-6).log() - first.clamp(min=1e-6).log()).abs().mean()
                terms[ANCHOR] = self._settings.anchor * drift
                total = total + terms[ANCHOR]
        return total, own.total, terms

    def _add_depth(
        self,
        terms: dict[str, Tensor],
        name: str,
        pair: PairPrediction,
        rows: slice,
        records: Sequence[PairRecord],
    ) -> Tensor | float:
        """The term of what is known of the depth of some pairs; 0 where nothing is."""
        weight = getattr(self._settings, name)
        known = known_depths(records[rows]) if weight else None
        if known is None:
            return 0.0
        predicted = torch.cat((pair.depth_1[rows], pair.depth_2[rows]))
        terms[name] = weight * aligned_log_loss(predicted, known).loss
        return terms[name]

    def _freeze_known_intrinsics(self, batch: LearnerBatch) -> None:
        learns = any(pair.K is None for pair in (*batch.live, *batch.own))
        trained = {id(parameter) for parameter in self._parameters}
        for parameter in self._intrinsics:
            parameter.requires_grad_(learns and id(parameter) in trained)


def trainable_parameters(network: DepthMotionNet, which: str) -> list[nn.Parameter]:
    """What learns, by the names of ``AdaptationSettings.trainable``. Motion scales never do: a
    scale that drifts changes the unit of length of everything."""
    depth, motion = network.depth_net, network.motion_net
    scales = [motion.rotation_scale, motion.translation_scale]
    if which == ALL:
        return [p for p in network.parameters() if not any(p is scale for scale in scales)]
    norms = [m for m in network.modules() if isinstance(m, RandomizedLayerNorm)]
    parts: list[nn.Module] = [*norms]
    if which in (DECODERS, DEPTH_DECODER):
        parts += [depth.decoder, depth.head]
    if which == DECODERS:
        parts += [motion.pose, motion.field, motion.refinements, motion.focal, motion.centre]
    return [parameter for part in parts for parameter in part.parameters()]
