"""What ``depth_motion adapt`` and the benchmark of the learner have in common."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depth_motion_ros.adaptation.adapter import Adapter
    from depth_motion_ros.adaptation.offline import VideoClock
    from depth_motion_ros.adaptation.settings import AdaptationSettings
    from depth_motion_ros.models.weights import Weights

# Cores: nobody waits for a recording.
_NO_LIMIT = 64.0
# Seconds between two lines about work that takes long.
_TELL_EVERY = 5.0


def add_adaptation_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that say how to adapt."""
    group = parser.add_argument_group("adaptation")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of adaptation (see docs/reference/parameters.md), e.g. learning_rate=5e-5",
    )
    group.add_argument(
        "--replay",
        nargs="+",
        default=[],
        metavar="SEQ",
        help="recordings that the weights were trained on, as rehearsal pairs; default: rendered",
    )
    group.add_argument(
        "--replay-pairs",
        type=int,
        default=96,
        help="rehearsal pairs; half for training, half for validation",
    )
    group.add_argument("--seed", type=int, default=0, help="of everything random")


def settings_of(words: list[str]) -> AdaptationSettings:
    """Settings from ``NAME=VALUE`` words. Raises SettingsError for what is wrong."""
    from depth_motion_ros.adaptation.settings import AdaptationSettings
    from depth_motion_ros.settings import from_mapping

    pairs = (word.partition("=") for word in words)
    return from_mapping(AdaptationSettings, {name: text for name, _, text in pairs})


def adapter_of(weights: Weights, args: argparse.Namespace) -> tuple[Adapter, VideoClock]:
    """An adapter with the rehearsal pairs that were asked for, and its clock.

    ``max_rate`` counts in the time of the video; processor time is not limited.
    """
    from depth_motion_ros.adaptation.progress import watched

    with watched(_ProgressLines()):
        return _adapter_of(weights, args)


class _ProgressLines:
    """A line every few seconds about work that takes long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _TELL_EVERY

    def __call__(self, work: str, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _TELL_EVERY
            print(f"{work}: {done} of {total}", file=sys.stderr, flush=True)


def _adapter_of(weights: Weights, args: argparse.Namespace) -> tuple[Adapter, VideoClock]:
    from depth_motion_ros.adaptation.adapter import Adapter
    from depth_motion_ros.adaptation.budget import Budget
    from depth_motion_ros.adaptation.offline import VideoClock
    from depth_motion_ros.adaptation.replay.rehearsal_set import cached_pairs, recorded_pairs
    from depth_motion_ros.sources.open import open_source

    size = weights.config.input_width, weights.config.input_height
    count = args.replay_pairs
    settings = settings_of(args.set)
    if args.replay:
        records = []
        share = -(-count // len(args.replay))
        for spec in args.replay:
            with open_source(spec) as source:
                records += recorded_pairs(source, *size, share)
    else:
        records = cached_pairs(*size, count, args.seed)
    clock = VideoClock()
    budget = Budget(_NO_LIMIT, settings.max_rate, clock, cpu=lambda: 0.0)
    return Adapter(weights, settings, records, args.seed, budget), clock


def refusals(refused: dict[str, int]) -> str:
    """Counts by reason, the most frequent first, in one line."""
    ordered = sorted(refused.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in ordered) or "none"
