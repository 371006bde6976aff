"""The experiment on hostile input: released weights must stay as good as they were."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import cv2
import numpy as np

from benchmarks.learner.domains import (
    HOSTILE,
    RATE,
    STEP_NS,
    Stage,
    hostile_frames,
    usual_source,
)
from benchmarks.learner.gain import (
    abs_rel,
    counts,
    counts_text,
    original_pairs,
    original_scores,
)
from benchmarks.report import number, table
from depth_motion_ros.adaptation.offline import adapt_over
from depth_motion_ros.cli.adapt_options import adapter_of, refusals
from depth_motion_ros.models.weights import Weights, build_network
from depth_motion_ros.sources.frame import Frame

# Usual video first: without live pairs to judge by, nothing could be released at all.
_WARM_UP = 40.0
_FAMILIES = ("yard", "indoor")
_CLIP_FRAMES = 60
_HELD_BACK_FRAMES = 30


def hostility(weights: Weights, args: argparse.Namespace) -> dict[str, Any]:
    """Figures by name. ``*_error``: AbsRel on frames that nothing learns from, of the first
    weights, of those that ran when the hostility began, of the worst and of the last release;
    ``original_*``: the same of pairs of the original domain. ``releases``: (minute, both)."""
    width = weights.config.input_width
    sources = [usual_source(family, _WARM_UP + 60, width) for family in _FAMILIES]
    clips = [
        [_same_size(source.frame(i), sources[0].camera.size) for i in range(_CLIP_FRAMES)]
        for source in sources
    ]
    stage = Stage(clips, sources[0].camera)
    start = round(_WARM_UP * RATE)
    held_back = [sources[0].frame(start + 15 * i) for i in range(_HELD_BACK_FRAMES)]
    original = original_pairs(weights, args)
    adapter, clock = adapter_of(weights, args)

    def judged(minute: float) -> tuple[float, float, float]:
        network = build_network(adapter.running)
        error, loss = original_scores(network, original)
        return (
            minute,
            statistics.fmean(abs_rel(network, held_back)),
            loss if error is None else error,
        )

    begin = time.process_time()
    releases = [judged(-_WARM_UP / 60)]
    for progress in adapt_over(adapter, (sources[0].frame(i) for i in range(start)), clock):
        if progress.release is not None:
            releases.append(judged(progress.frame.stamp * 1e-9 / 60 - _WARM_UP / 60))
    at_start = releases[-1]
    kinds: dict[str, dict[str, Any]] = {
        name: {"frames": 0, "admitted": 0, "refused": {}} for name in HOSTILE
    }
    begin_ns = start * STEP_NS
    for name, frame in hostile_frames(stage, args.minutes * 60, begin_ns, args.seed):
        for progress in adapt_over(adapter, [frame], clock):
            part, reason = kinds[name], progress.observation.reason
            part["frames"] += 1
            part["admitted"] += progress.observation.admitted
            if not progress.observation.admitted:
                part["refused"][reason] = part["refused"].get(reason, 0) + 1
            if progress.release is not None:
                releases.append(judged((frame.stamp - begin_ns) * 1e-9 / 60))
    for part in kinds.values():
        part["refused"] = refusals(part["refused"])
    after = releases[releases.index(at_start) :]
    worst = max(after, key=lambda found: found[1])
    worst_original = max(after, key=lambda found: found[2])
    return {
        "minutes": args.minutes,
        "warm_up": _WARM_UP,
        "first_error": releases[0][1],
        "start_error": at_start[1],
        "worst_error": worst[1],
        "worst_change": worst[1] / at_start[1] - 1,
        "last_error": releases[-1][1],
        "first_original": releases[0][2],
        "start_original": at_start[2],
        "worst_original": worst_original[2],
        "worst_original_change": worst_original[2] / at_start[2] - 1,
        "releases": [list(found) for found in releases],
        "released_while_hostile": len(after) - 1,
        "kinds": kinds,
        "processor_seconds": time.process_time() - begin,
        **counts(adapter),
    }


def _same_size(frame: Frame, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA), np.uint8)


def hostility_table(found: dict[str, Any]) -> str:
    """What the released weights were worth, and what was refused of each kind of video."""
    errors = [
        (
            name,
            *(number(found[f"{stage}_{key}"], ".4f") for stage in ("first", "start", "worst")),
            f"{found[f'worst_{change}']:+.2%}",
        )
        for name, key, change in (
            ("usual video", "error", "change"),
            ("original domain", "original", "original_change"),
        )
    ]
    kinds = [
        (name, part["frames"], part["admitted"], part["refused"])
        for name, part in found["kinds"].items()
    ]
    return "\n".join(
        (
            table(("AbsRel", "first", "start", "worst", "change"), errors),
            f"{found['released_while_hostile']} releases while the input was hostile",
            table(("video", "frames", "admitted", "refused"), kinds),
            counts_text(found),
        )
    )
