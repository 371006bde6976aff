"""One training step, one validation step, and what they record."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import get_ema_multi_avg_fn

from depth_motion_ros.losses.objective import LossBreakdown, Objective
from depth_motion_ros.models.network import DepthMotionNet, PairPrediction
from depth_motion_ros.training.data.augment import apply_shade
from depth_motion_ros.training.data.frames import FrameSet
from depth_motion_ros.training.data.pairs import Pairs, ValidationPair, slots_of
from depth_motion_ros.training.data.resident import Plans, ResidentFrames
from depth_motion_ros.training.graphed import GraphedNet
from depth_motion_ros.training.guards import Guard, TrainingStoppedError
from depth_motion_ros.training.health import HEALTH_METRICS, health_metrics
from depth_motion_ros.training.panels import panel
from depth_motion_ros.training.predictions import images_of, map_tensors, predict, rows_of
from depth_motion_ros.training.recipe import Recipe, check_same_recipe, parse_recipe
from depth_motion_ros.training.rendered_supervision import PairTruth
from depth_motion_ros.training.triangulation.supervision import (
    KnownMotionObjective,
    StartingUnit,
    judge,
    supervise_depth,
)

DepthValidator = Callable[[DepthMotionNet], Mapping[str, float]]
"""A network to its depth metrics, ``SEQUENCE/METRIC`` or, for the mean, ``METRIC``."""


class SimulatedData(NamedTuple):
    """Rendered pairs, the exact truth to judge them by, if any, and whether their images do too."""

    pairs: Pairs
    truth: PairTruth | None
    by_images: bool = True


Simulator = Callable[[int, range, torch.device], SimulatedData]
"""(step, slots, device) to the pairs with these places among those rendered for a step.

Depends on nothing else, so that a resumed run sees the same.
"""


def _adam(groups: list[dict[str, Any]], rate: float) -> torch.optim.Optimizer:
    try:
        return torch.optim.Adam(groups, rate, fused=True)
    except RuntimeError:  # this device, or this version of PyTorch on it, has no fused kernel
        return torch.optim.Adam(groups, rate)


class DepthMotionModule(LightningModule):
    """Trains a network by a recipe.

    simulator: renders the ``simulated_per_step`` pairs that join each batch, counted over all
    devices. depth_validator: judges the network where depth is known. frames: what batches of
    ``Plans`` draw from; they are kept on the training device.
    Everything random in a step follows from (seed, step, rank), so that a resumed run repeats
    what the killed one would have done.
    """

    def __init__(
        self,
        network: DepthMotionNet,
        recipe: Recipe,
        simulator: Simulator | None = None,
        simulated_per_step: int = 0,
        depth_validator: DepthValidator | None = None,
        frames: Sequence[FrameSet] = (),
    ) -> None:
        super().__init__()
        self.recipe = recipe
        # A third less time in the convolutions on a CPU, and what tensor cores want.
        self.network = network.train()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = None
        if recipe.optimiser.ema_decay > 0:
            self.averaged = copy.deepcopy(network).eval().requires_grad_(False)
        self.guard = Guard(recipe.guards)
        self._objective = Objective(recipe.losses)
        by_images = recipe.triangulated.images > 0
        self._by_known_motion = KnownMotionObjective(recipe.losses) if by_images else None
        # A part of the state, so that a resumed run is held to where the whole one began.
        self.starting_unit = None
        if recipe.triangulated.unit > 0:
            self.starting_unit = StartingUnit(network.depth_net)
        self._frames = frames
        self._resident: ResidentFrames | None = None
        self._graphed: GraphedNet | None = None
        self._simulator, self._simulated_per_step = simulator, simulated_per_step
        self._depth_validator = depth_validator
        self._scalars: dict[str, Tensor] = {}

    @property
    def result(self) -> DepthMotionNet:
        """The network to validate and to save: the averaged one where there is one."""
        return self.network if self.averaged is None else self.averaged

    def configure_optimizers(self) -> Any:
        rate = self.recipe.optimiser.learning_rate
        motion = self.network.motion_net
        scales = {
            motion.rotation_scale: self.recipe.network.rotation_scale,
            motion.translation_scale: self.recipe.network.translation_scale,
        }
        # A step of Adam is as long as the rate, however small the parameter: a scale of 0.01 would
        # be at its lower bound, where nothing moves, within the first dozens of noisy steps.
        groups: list[dict[str, Any]] = [
            {"params": [scale], "lr": rate * initial} for scale, initial in scales.items()
        ]
        apart = {id(scale) for scale in scales}
        groups.append({"params": [p for p in self.network.parameters() if id(p) not in apart]})
        optimiser = _adam(groups, rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self.recipe.rate_factor)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_start(self) -> None:
        """Bring a restored optimiser's state into the memory format of the weights.

        Checkpoints are stored contiguous, and fused kernels walk through memory.
        """
        for state in self.optimizers().state.values():  # type: ignore[union-attr]
            for name in ("exp_avg", "exp_avg_sq"):
                if state[name].ndim == 4:
                    state[name] = state[name].contiguous(memory_format=torch.channels_last)

    def training_step(self, batch: Pairs | Plans | Tensor, batch_idx: int) -> Tensor:
        """batch: pairs, or what is needed to cut them out of resident frames, from the loader; or a
        placeholder where all come from the simulator."""
        step = self.global_step
        torch.manual_seed(_derived_seed(self.recipe.seed, step, self.global_rank))
        self.network.set_norm_noise(self.recipe.schedule.noise(step))
        if isinstance(batch, Plans):
            batch = self._cut_out(batch)
        recorded = batch if isinstance(batch, Pairs) else None
        simulated = self._render(step)
        parts = [p for p in (recorded, simulated and simulated.pairs) if p is not None]
        images = [images_of(part) for part in parts]
        image_1 = torch.cat([one for one, _ in images])
        image_2 = torch.cat([two for _, two in images])
        exact = simulated.truth if simulated is not None else None
        by_images = simulated is None or simulated.by_images
        if self._only_depth(recorded, simulated):
            return self._depth_step(image_1, image_2, recorded, exact)
        only_motion = recorded is None and not by_images and self.recipe.exact.only_motion
        if exact is not None and only_motion:
            return self._motion_step(step, image_1, image_2, exact)
        self.network.depth_net.requires_grad_(step >= self.recipe.schedule.depth_frozen)
        pair = predict(self.network, image_1, image_2, self.recipe.schedule.residual_gain(step))
        known = torch.cat([part.known for part in parts])
        K = self._intrinsics(torch.cat([part.K for part in parts]), known, pair)

        terms: dict[str, Tensor] = {}
        total = pair.depth_1.new_zeros(())
        start = 0
        with torch.autocast(self.device.type, enabled=False):
            for part, (one, two) in zip(parts, images, strict=True):
                rows = slice(start, start + len(one))
                start = rows.stop
                losses: dict[str, LossBreakdown] = {}
                rendered = simulated is not None and part is simulated.pairs
                if rendered and exact is not None:
                    losses["exact"] = exact.judge(rows_of(pair, rows), self.recipe.exact)
                if part.triangulated is not None:
                    predicted = rows_of(pair, rows)
                    losses["triangulated"] = judge(
                        predicted, part.triangulated, part, self.recipe.triangulated
                    )
                if by_images if rendered else self.recipe.data.recorded != "triangulated":
                    masks = (part.mask_1, part.mask_2)
                    found = self._objective(one, two, rows_of(pair, rows), K[rows], *masks)
                    losses["simulated" if rendered and recorded is not None else "loss"] = found
                for prefix, loss in losses.items():
                    total = total + loss.total * (len(one) / len(image_1))
                    terms.update({f"{prefix}/{k}": v.detach() for k, v in loss.terms.items()})
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=len(image_1))
        self._scalars = {"loss": total.detach(), **terms}
        self._watch(step, image_1, image_2, pair, K)
        return total

    def _cut_out(self, plans: Plans) -> Pairs:
        if self._resident is None:
            triangulated = self.recipe.data.recorded != "images"
            self._resident = ResidentFrames(self._frames, self.device, triangulated)
        return self._resident(plans)

    def _motion_step(self, step: int, image_1: Tensor, image_2: Tensor, truth: PairTruth) -> Tensor:
        """A step in which nothing asks for depth: MotionNet sees the true one, disturbed."""
        gain = self.recipe.schedule.residual_gain(step)
        one, two = (i.contiguous(memory_format=torch.channels_last) for i in (image_1, image_2))
        depth_1, depth_2 = truth.disturbed_depths()
        pair = self.network.between(one, two, depth_1, depth_2, gain)
        pair = map_tensors(pair, lambda tensor: tensor.float().contiguous())
        with torch.autocast(self.device.type, enabled=False):
            loss = truth.judge(pair, self.recipe.exact)
        return self._judged({"exact": (loss, len(image_1))})

    def _only_depth(self, recorded: Pairs | None, simulated: SimulatedData | None) -> bool:
        """Whether nothing in a step asks for motion."""
        recipe = self.recipe
        if simulated is not None and (simulated.by_images or not recipe.exact.only_depth):
            return False
        triangulated = recipe.data.recorded == "triangulated" and recipe.triangulated.only_depth
        return triangulated if recorded is not None else simulated is not None

    def _depth_step(
        self, image_1: Tensor, image_2: Tensor, recorded: Pairs | None, exact: PairTruth | None
    ) -> Tensor:
        """A step in which nothing asks for motion: MotionNet, most of the work, stays out."""
        images = apply_shade(torch.cat((image_1, image_2)), self.recipe.augment.shade)
        images = images.contiguous(memory_format=torch.channels_last)
        depth_1, depth_2 = self._depth_of(images).float().contiguous().chunk(2)
        count, losses = 0, {}
        with torch.autocast(self.device.type, enabled=False):
            if recorded is not None and recorded.triangulated is not None:
                count = len(recorded.K)
                depths, weights = (depth_1[:count], depth_2[:count]), self.recipe.triangulated
                by_images = None
                if self._by_known_motion is not None:
                    pictures = image_1[:count], image_2[:count]
                    by_images = self._by_known_motion(*pictures, *depths, recorded)
                unit = None
                if self.starting_unit is not None:
                    unit = self.starting_unit(images[:count], depth_1[:count])
                judged = supervise_depth(*depths, recorded.triangulated, weights, by_images, unit)
                losses["triangulated"] = (judged, count)
            if exact is not None:
                judged = exact.supervise_depth(depth_1[count:], depth_2[count:], self.recipe.exact)
                losses["exact"] = (judged, len(depth_1) - count)
        return self._judged(losses)

    def _depth_of(self, images: Tensor) -> Tensor:
        """DepthNet alone; on one GPU as a CUDA graph, once the noise in its norms is constant."""
        settled = self.global_step >= self.recipe.schedule.norm_noise_steps
        if self.device.type != "cuda" or self.trainer.world_size > 1 or not settled:
            return self.network.depth_net(images)  # type: ignore[no-any-return]
        if self._graphed is None or not self._graphed.takes(images):
            self._graphed = GraphedNet(self.network.depth_net, images)
        return self._graphed(images)

    def _judged(self, losses: Mapping[str, tuple[LossBreakdown, int]]) -> Tensor:
        """Sum up and note the losses, by kind, of a step that images do not judge.

        losses: each with the number of its pairs.
        """
        pairs = sum(count for _, count in losses.values())
        total = torch.stack([loss.total * (count / pairs) for loss, count in losses.values()]).sum()
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=pairs)
        self._scalars = {"loss": total.detach()}
        for kind, (loss, _) in losses.items():
            self._scalars.update({f"{kind}/{k}": v.detach() for k, v in loss.terms.items()})
        return total

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip, or drop the gradients altogether where one is not finite: then nothing changes."""
        norm = clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip_norm)
        finite = bool(torch.isfinite(norm))
        if not finite:
            optimizer.zero_grad(set_to_none=True)
        self.guard.count_step(finite)
        self._scalars["gradient_norm"] = norm
        self._scalars["skipped_steps"] = torch.tensor(float(self.guard.skipped))

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Step, then average: in a later hook a checkpoint could come between the two."""
        step = self.global_step
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self._record(step)
        if self.averaged is not None:
            # A short memory at first: the initial weights are noise and should soon be forgotten.
            decay = min(self.recipe.optimiser.ema_decay, (1 + step) / (10 + step))
            average = get_ema_multi_avg_fn(decay)
            average(list(self.averaged.parameters()), list(self.network.parameters()), None)

    def validation_step(self, item: ValidationPair, index: int) -> None:
        """One pair: health metrics, and the focal error where K is known."""
        network = self.result
        was_training = network.training
        network.eval()
        image_1, image_2 = images_of(item.pairs)
        gain = self.recipe.schedule.residual_gain(self.global_step)
        pair = predict(network, image_1, image_2, gain)
        network.train(was_training)
        K = self._intrinsics(item.pairs.K, item.pairs.known, pair)
        found = dict(
            zip(HEALTH_METRICS, health_metrics(image_1, image_2, pair, K).tolist(), strict=True)
        )
        if bool(item.pairs.known):
            found["focal_error"] = float((pair.K[0, 0, 0] / item.pairs.K[0, 0, 0] - 1).abs())
        self.log_dict(
            {f"validation/{item.name}/{key}": value for key, value in found.items()},
            on_epoch=True,
            batch_size=1,
            sync_dist=True,
        )

    def on_validation_epoch_end(self) -> None:
        if self._depth_validator is not None:
            network, config = self.result, self.result.config
            # At the size that it knows: at another it would look worse than it is.
            network.config = config.sized(*self.recipe.size_at(self.global_step))
            try:
                found = self._depth_validator(network)
            finally:
                network.config = config
            named = {f"validation/{key}": value for key, value in found.items()}
            self.log_dict(named, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # With the curves on disk up to here, those of a run that is killed later have no hole.
        flush = getattr(getattr(self.logger, "experiment", None), "flush", None)
        if flush is not None:
            flush()
        checkpoint["guard"] = self.guard.state()
        checkpoint["recipe"] = self.recipe.to_yaml()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_same_recipe(
            parse_recipe(checkpoint["recipe"], "the checkpoint's recipe"), self.recipe
        )
        self.guard.restore(checkpoint["guard"])

    def _record(self, step: int) -> None:
        """Write the scalars of a step, averaged over the devices, with one copy from this one."""
        watched = step % self.recipe.guards.watch_every == 0
        if self.logger is None or not (watched or step % self.recipe.record.scalars_every == 0):
            return
        values = torch.stack([v.to(self.device, torch.float32) for v in self._scalars.values()])
        values = self.trainer.strategy.reduce(values, reduce_op="mean")
        self.logger.log_metrics(dict(zip(self._scalars, values.tolist(), strict=True)), step)

    def _render(self, step: int) -> SimulatedData | None:
        if self._simulator is None:
            return None
        slots = slots_of(self.global_rank, self.trainer.world_size, self._simulated_per_step)
        return self._simulator(step, slots, self.device)

    def _intrinsics(self, K: Tensor, known: Tensor, pair: PairPrediction) -> Tensor:
        """What to warp with. Always through the learned K, so that every parameter has a
        gradient, if only zero: data parallel training waits for all of them."""
        use = known & self.recipe.data.known_intrinsics
        return torch.where(use[:, None, None], K, pair.K)

    def _watch(
        self, step: int, image_1: Tensor, image_2: Tensor, pair: PairPrediction, K: Tensor
    ) -> None:
        """Look at the health metrics and draw a panel, when it is time."""
        if step % self.recipe.guards.watch_every == 0:
            values = health_metrics(image_1, image_2, pair, K).tolist()
            health_values = dict(zip(HEALTH_METRICS, values, strict=True))
            self._scalars.update({f"vitals/{k}": torch.tensor(v) for k, v in health_values.items()})
            for sentence in self.guard.observe(step, health_values):
                rank_zero_warn(sentence)
                if self.recipe.guards.stop_on_collapse:
                    raise TrainingStoppedError(sentence)
        if step % self.recipe.record.panels_every == 0 and self.trainer.is_global_zero:
            add_image = getattr(getattr(self.logger, "experiment", None), "add_image", None)
            if add_image is not None:
                picture = panel(image_1, image_2, pair, K)
                add_image("training", picture, step, dataformats="HWC")


def _derived_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
