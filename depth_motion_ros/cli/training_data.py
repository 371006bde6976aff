"""What to train on, from the words of a command line: ``SOURCE`` or ``SOURCE=WEIGHT``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from depth_motion_ros.simulator.families import FAMILIES
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.sequence.prepared import PreparedDataset, is_prepared
from depth_motion_ros.sources.sequence.reader import is_sequence
from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.data.frames import FrameSet, MemoryFrames, SequenceFrames
from depth_motion_ros.training.data.simulated import RenderedPairs
from depth_motion_ros.training.recipe import Recipe, RecipeError

SIMULATED = "sim:"


@dataclass(frozen=True)
class SourceShare:
    """A source and its relative weight in the mixture; None: left to the trainer."""

    spec: str
    weight: float | None

    @property
    def is_simulated(self) -> bool:
        """Rendered while training, rather than recorded."""
        return self.spec.startswith(SIMULATED)


def parse_share(text: str) -> SourceShare:
    """``SOURCE`` or ``SOURCE=WEIGHT``.

    A path may hold ``=``: only a number behind the last counts, and none where the whole is the
    path of what is there (``day=2``; its weight 3 is ``day=2=3``).
    """
    spec, separator, number = text.rpartition("=")
    if separator and Path(text).exists():
        if Path(spec).exists():
            raise RecipeError(
                f"{text!r} may be the folder {text} or {spec} with a weight: write {text}=1 or "
                f"./{spec}/={number}"
            )
        return SourceShare(text, None)
    if separator:
        try:
            weight = float(number)
        except ValueError:
            return SourceShare(text, None)
        if not 0 < weight < float("inf"):
            raise RecipeError(f"the weight in {text!r} must be a positive number")
        return SourceShare(spec, weight)
    return SourceShare(text, None)


def open_frames(spec: str) -> list[FrameSet]:
    """The frames of a recorded source, in any order; a prepared set has many sequences.

    Prepared sets and sequence folders are decoded as needed; anything else that ``open_source``
    reads is kept in memory and must be small. Raises SourceError where it cannot be read.
    """
    path = Path(spec)
    if is_prepared(path):
        return [SequenceFrames(sequence.path) for sequence in PreparedDataset(path)]
    if is_sequence(path):
        return [SequenceFrames(path)]
    with open_source(spec) as source:
        return [MemoryFrames(source)]


def simulated_per_step(shares: Sequence[SourceShare], batch_size: int) -> int:
    """How many of a batch's pairs are rendered.

    By the weights; where none is given, recorded and simulated sources get half each. A mixture
    has at least one pair of each kind in every batch.
    """
    simulated = [share for share in shares if share.is_simulated]
    recorded = [share for share in shares if not share.is_simulated]
    if not simulated or not recorded:
        return batch_size if simulated else 0
    if batch_size < 2:
        raise RecipeError("a mixture of recorded and simulated pairs needs data.batch_size >= 2")
    fraction = 0.5
    if shares[0].weight is not None:
        total = sum(share.weight or 0.0 for share in shares)
        fraction = sum(share.weight or 0.0 for share in simulated) / total
    return min(max(round(fraction * batch_size), 1), batch_size - 1)


def training_data(
    specs: Sequence[str], recipe: Recipe, validation: Sequence[str], validation_frames: int
) -> TrainingData:
    """Open all sources of a mixture. Raises RecipeError or SourceError for what cannot be used."""
    shares = [parse_share(spec) for spec in specs]
    if len({share.weight is None for share in shares}) > 1:
        raise RecipeError(f"give every source a weight, or none: {' '.join(specs)}")
    families: dict[str, float] = {}
    for share in shares:
        if share.is_simulated:
            family = share.spec.removeprefix(SIMULATED)
            if family not in FAMILIES:
                known = ", ".join(f"{SIMULATED}{name}" for name in FAMILIES)
                raise RecipeError(f"{share.spec}: no such family of scenes; there are {known}")
            families[family] = families.get(family, 0.0) + (share.weight or 1.0)
    return TrainingData(
        recorded=[(open_frames(s.spec), s.weight) for s in shares if not s.is_simulated],
        simulator=RenderedPairs(recipe, families) if families else None,
        simulated_per_step=simulated_per_step(shares, recipe.data.batch_size),
        simulated_names=[f"{SIMULATED}{name}" for name in families],
        validation=[frames for spec in validation for frames in open_frames(spec)],
        validation_frames=validation_frames,
    )
