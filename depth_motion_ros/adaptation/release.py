"""What a candidate must show before it may replace the weights that run."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from depth_motion_ros.adaptation.pairing.records import PairRecord
from depth_motion_ros.adaptation.scoring import PairScore, score
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, build_network

_NUMBERED = re.compile(r"(?P<base>.*)\+(?P<number>\d{1,12})$")
RELEASED, KEPT, REFUSED = "released", "kept", "refused"


@dataclass(frozen=True)
class ReleaseDecision:
    """Decision about a candidate.

    outcome: ``released``; ``kept`` (harmless, but not better by enough); ``refused`` (harmful).
    reason: why it was not released, with the numbers.
    scores: by name.
    """

    outcome: str
    reason: str
    scores: dict[str, float]


@dataclass(frozen=True, eq=False)
class Release:
    """Weights that passed every gate, or the target of a rollback.

    weights: metadata ``version`` is ``BASE+N`` and ``parent`` the version before.
    number: N, which rises by one with every release and survives save and restore.
    scores: of the candidate, by name.
    """

    weights: Weights
    number: int
    scores: dict[str, float]


class ReleaseVersions:
    """Numbers releases. base: the version of the first weights, ``BASE`` or ``BASE+N``; number: of
    the newest release so far, if higher."""

    def __init__(self, base: str, number: int = 0) -> None:
        found = _NUMBERED.match(base)
        self._base = found["base"] if found else base
        self.number = max(number, int(found["number"]) if found else 0)

    def release(self, weights: Weights, parent: str, scores: dict[str, float]) -> Release:
        """The weights under the next number."""
        self.number += 1
        named = {"version": f"{self._base}+{self.number}", "parent": parent}
        return Release(Weights(weights.tensors, {**weights.metadata, **named}), self.number, scores)


class ReleaseGate:
    """Validates candidates on pairs that are never trained on.

    first: the weights that every bound is measured from. validation: rehearsal pairs held back.
    """

    def __init__(
        self, first: Weights, validation: Sequence[PairRecord], settings: AdaptationSettings
    ) -> None:
        self._first = build_network(first)
        self._validation = list(validation)
        self._settings = settings
        self._first_rehearsal = score(self._first, self._validation)
        self._running_rehearsal = self._first_rehearsal
        # Scores of the first and the running weights, by pair, which also keep the pairs alive.
        self._by_first: dict[int, tuple[PairRecord, PairScore]] = {}
        self._by_running: dict[int, tuple[PairRecord, PairScore]] = {}

    @property
    def rehearsal_count(self) -> int:
        return len(self._validation)

    def running_changed(self, running: DepthMotionNet) -> None:
        """Other weights run now: scores of the old ones are void."""
        self._by_running.clear()
        self._running_rehearsal = score(running, self._validation)

    def decide(
        self,
        candidate: DepthMotionNet,
        running: DepthMotionNet,
        held_back: Sequence[PairRecord],
    ) -> ReleaseDecision:
        """Compare a candidate with the running and the first weights. held_back: live pairs."""
        first = self._remembered(self._by_first, self._first, held_back)
        before = self._remembered(self._by_running, running, held_back)
        now = score(candidate, held_back)
        rehearsal = score(candidate, self._validation)
        scores = {
            "held_back": _mean(now, "loss"),
            "held_back_running": _mean(before, "loss"),
            "held_back_first": _mean(first, "loss"),
            "rehearsal": _mean(rehearsal, "loss"),
            "rehearsal_running": _mean(self._running_rehearsal, "loss"),
            "rehearsal_first": _mean(self._first_rehearsal, "loss"),
            "depth_abs_rel": _mean(rehearsal, "depth_abs_rel"),
            "depth_abs_rel_first": _mean(self._first_rehearsal, "depth_abs_rel"),
            "depth_abs_rel_live": _mean(now, "depth_abs_rel"),
            "depth_abs_rel_live_running": _mean(before, "depth_abs_rel"),
            "depth_abs_rel_live_first": _mean(first, "depth_abs_rel"),
            "depth_shift": _median_shift(first, now, "log_depth"),
            "scale_shift": _median_shift(first, now, "log_step"),
            "rehearsal_depth_shift": _median_shift(self._first_rehearsal, rehearsal, "log_depth"),
            "worse_share": _worse_share(before, now, self._settings.margin),
            "depth_variance": _mean(now, "depth_variance"),
            "active": _mean(now, "active"),
        }
        harm = _harm(scores, self._settings)
        if harm:
            return ReleaseDecision(REFUSED, harm, scores)
        gains = [
            (1 - scores[name] / scores[f"{name}_running"], words)
            for name, words in (("held_back", "loss"), ("depth_abs_rel_live", "depth error"))
        ]
        # Unknown errors of depth compare false.
        if not any(gain >= self._settings.min_gain for gain, _ in gains):
            falls = " and ".join(
                f"the {words} falls by {gain:.2%}" for gain, words in gains if math.isfinite(gain)
            )
            return ReleaseDecision(
                KEPT,
                f"on {len(held_back)} held-back pairs {falls}, less than "
                f"{self._settings.min_gain:.2%}",
                scores,
            )
        return ReleaseDecision(RELEASED, "", scores)

    def _remembered(
        self,
        memory: dict[int, tuple[PairRecord, PairScore]],
        network: DepthMotionNet,
        records: Sequence[PairRecord],
    ) -> list[PairScore]:
        wanted = {id(record) for record in records}
        for gone in memory.keys() - wanted:
            del memory[gone]
        fresh = [record for record in records if id(record) not in memory]
        for record, found in zip(fresh, score(network, fresh), strict=True):
            memory[id(record)] = (record, found)
        return [memory[id(record)][1] for record in records]


def _harm(scores: Mapping[str, float], settings: AdaptationSettings) -> str:
    """What is wrong with a candidate, with the numbers; empty where nothing is."""
    # Without truth, or parallax, the depth error is not known, and nothing else may be unknown.
    unknown = [
        name
        for name, value in scores.items()
        if not math.isfinite(value) and not name.startswith("depth_abs_rel")
    ]
    if unknown:
        return f"{', '.join(unknown)} not finite"
    limit = settings.max_forgetting
    margin = settings.margin
    bounds = (
        ("held_back", scores["held_back_running"] * (1 + margin), "loss on held-back live pairs"),
        ("held_back", scores["held_back_first"] * (1 + limit), "loss on held-back live pairs"),
        (
            "depth_abs_rel_live",
            scores["depth_abs_rel_live_running"] * (1 + margin),
            "depth error on held-back live pairs",
        ),
        (
            "depth_abs_rel_live",
            scores["depth_abs_rel_live_first"] * (1 + limit),
            "depth error on held-back live pairs",
        ),
        ("worse_share", settings.max_worse_share, "share of held-back pairs that are worse"),
        ("rehearsal", scores["rehearsal_running"] * (1 + margin), "loss on rehearsal pairs"),
        ("rehearsal", scores["rehearsal_first"] * (1 + limit), "loss on rehearsal pairs"),
        ("depth_abs_rel", scores["depth_abs_rel_first"] * (1 + limit), "depth error on them"),
        ("active", settings.max_residual, "share of pixels that seem to move"),
    )
    for name, bound, words in bounds:
        # Unknown errors of depth compare false.
        if scores[name] > bound:
            return f"{words} is {scores[name]:.4f}, more than {bound:.4f}"
    for name, bound, words in (
        ("depth_shift", settings.max_depth_shift, "median depth of live pairs"),
        ("rehearsal_depth_shift", settings.max_depth_shift, "median depth of rehearsal pairs"),
        ("scale_shift", settings.max_scale_shift, "learned translation"),
    ):
        if abs(scores[name]) > bound:
            return (
                f"{words} has changed by the factor {math.exp(scores[name]):.3f} since the first "
                f"weights, more than {math.exp(bound):.3f} or its inverse"
            )
    if scores["depth_variance"] < settings.min_depth_variance:
        return (
            f"spatial variance of depth is {scores['depth_variance']:.2g}, less than "
            f"{settings.min_depth_variance:.2g}: it has collapsed"
        )
    return ""


def _worse_share(before: Sequence[PairScore], now: Sequence[PairScore], margin: float) -> float:
    """Share of pairs whose loss rises by more than the margin: a few large gains must not
    outweigh many losses."""
    worse = [n.loss > b.loss * (1 + margin) for b, n in zip(before, now, strict=True)]
    return statistics.fmean(worse)


def _mean(scores: Sequence[PairScore], name: str) -> float:
    """Mean over the pairs; of a score that needs known depth, over those that have it."""
    values = [getattr(score, name) for score in scores]
    if name == "depth_abs_rel":
        values = [value for value in values if not math.isnan(value)]
    return statistics.fmean(values) if values else math.nan


def _median_shift(before: Sequence[PairScore], now: Sequence[PairScore], name: str) -> float:
    shifts = [getattr(n, name) - getattr(b, name) for b, n in zip(before, now, strict=True)]
    return statistics.median(shifts)
