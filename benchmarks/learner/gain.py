"""The experiment on gain: depth on an unseen domain before, while and after adapting to it."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.learner.domains import RATE, UnseenSource
from benchmarks.report import number, table
from depth_motion_ros.adaptation.adapter import Adapter
from depth_motion_ros.adaptation.offline import adapt_over
from depth_motion_ros.adaptation.pairing.records import PairRecord
from depth_motion_ros.adaptation.replay.rehearsal_set import recorded_pairs, simulated_pairs
from depth_motion_ros.adaptation.scoring import score
from depth_motion_ros.cli.adapt_options import adapter_of, refusals
from depth_motion_ros.evaluation.depth import DepthScore
from depth_motion_ros.evaluation.predictor import NetworkPredictor
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.models.weights import Weights, build_network
from depth_motion_ros.sources.frame import Frame
from depth_motion_ros.sources.open import open_source

# Frames after the video that nothing learns from: so many, spread over so many seconds.
_LATER_FRAMES, _LATER_SECONDS = 40, 30.0
# Every so many frames of the video are scored.
_SCORED_EVERY = 10
# Longer than any step between frames that belong together.
_JUMP_NS = 10_000_000_000
_ORIGINAL_PAIRS = 64
# Other than the seed of the rehearsal pairs, which is small.
_ORIGINAL_SEED = 9001


def gain(weights: Weights, family: str, args: argparse.Namespace) -> dict[str, Any]:
    """Figures of an unseen simulated domain, as ``measured`` has them."""
    source = UnseenSource(family, args.seconds + _LATER_SECONDS, weights.config.input_width)
    count = round(args.seconds * RATE)
    stride = round(_LATER_SECONDS * RATE / _LATER_FRAMES)
    later = [source.frame(count + stride * i) for i in range(_LATER_FRAMES)]
    frames = (source.frame(index) for index in range(count))
    return {"seconds": args.seconds, **measured(weights, frames, later, _SCORED_EVERY, args)}


def recorded_gain(weights: Weights, spec: str, args: argparse.Namespace) -> dict[str, Any]:
    """The same of a recording with true depth, which nothing learns from: two thirds of it teach,
    played again until ``seconds`` have passed, and the rest is scored."""
    with open_source(spec) as source:
        frames = list(source)
    count = 2 * len(frames) // 3
    shown = replayed(frames[:count], args.seconds)
    return {
        "seconds": args.seconds,
        "teaching_frames": count,
        **measured(weights, shown, frames[count:], 1, args),
    }


def replayed(frames: Sequence[Frame], seconds: float) -> Iterator[Frame]:
    """Frames over and over, until the time of the video has passed. Between two rounds time jumps,
    as where a recording was cut."""
    begin = frames[0].stamp
    length = frames[-1].stamp - begin
    for played in itertools.count():
        for frame in frames:
            if (played * length + frame.stamp - begin) * 1e-9 >= seconds:
                return
            yield replace(frame, stamp=frame.stamp + played * (length + _JUMP_NS))


def measured(
    weights: Weights,
    frames: Iterable[Frame],
    later: Sequence[Frame],
    scored_every: int,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """What learning from frames does, by name.

    ``before_``, ``during_`` and ``after_`` tell the weights: the first, those that ran when a frame
    came, the last. ``video``: AbsRel on frames of the video; ``later``: on frames that are not
    learned from; ``original``: on pairs of the original domain; ``original_loss``: the objective
    there. ``curve_*``: AbsRel of the first and the running weights over the video.
    """
    original = original_pairs(weights, args)
    first = running = build_network(weights)
    adapter, clock = adapter_of(weights, args)
    seconds: list[float] = []
    before: list[float] = []
    during: list[float] = []
    scored: list[Frame] = []
    learning = 0.0
    begin: int | None = None
    for index, frame in enumerate(frames):
        begin = frame.stamp if begin is None else begin
        if index % scored_every == 0 and frame.truth is not None and frame.truth.depth is not None:
            scored.append(frame)
            seconds.append((frame.stamp - begin) * 1e-9)
            during += abs_rel(running, [frame])
            before += abs_rel(first, [frame])
        started = time.process_time()
        for progress in adapt_over(adapter, [frame], clock):
            if progress.release is not None:
                running = build_network(progress.release.weights)
        learning += time.process_time() - started
    result: dict[str, Any] = {}
    for stage, network in (("before", first), ("after", running)):
        result[f"{stage}_later"] = statistics.fmean(abs_rel(network, later))
        result[f"{stage}_original"], result[f"{stage}_original_loss"] = original_scores(
            network, original
        )
    return {
        **result,
        "before_video": statistics.fmean(before),
        "during_video": statistics.fmean(during),
        "after_video": statistics.fmean(abs_rel(running, scored)),
        "curve_seconds": seconds,
        "curve_first": before,
        "curve_running": during,
        "learning_seconds": learning,
        **counts(adapter),
    }


def abs_rel(network: DepthMotionNet, frames: Sequence[Frame]) -> list[float]:
    """Of each frame, with per-image median scaling."""
    scores = DepthScore()
    predictor = NetworkPredictor(network)
    for frame in frames:
        truth = None if frame.truth is None else frame.truth.depth
        scores.add(predictor.predict([frame.image], []).depths[0], truth)
    return [image.scaled.abs_rel for image in scores.images]


def original_pairs(weights: Weights, args: argparse.Namespace) -> list[PairRecord]:
    """Pairs of the original domain that neither teach nor judge."""
    size = weights.config.input_width, weights.config.input_height
    if not args.original:
        return simulated_pairs(*size, _ORIGINAL_PAIRS, _ORIGINAL_SEED)
    records = []
    for spec in args.original:
        with open_source(spec) as source:
            records += recorded_pairs(source, *size, _ORIGINAL_PAIRS // len(args.original))
    return records


def original_scores(
    network: DepthMotionNet, records: Sequence[PairRecord]
) -> tuple[float | None, float]:
    """AbsRel where the truth is known, and the objective."""
    found = score(network, records)
    errors = [pair.depth_abs_rel for pair in found if pair.depth_abs_rel == pair.depth_abs_rel]
    return (
        statistics.fmean(errors) if errors else None,
        statistics.fmean(pair.loss for pair in found),
    )


def counts(adapter: Adapter) -> dict[str, Any]:
    """What the adapter has done."""
    status = adapter.status()
    return {
        "frames": status.frames,
        "admitted": status.admitted,
        "triangulated": status.triangulated,
        "steps": status.steps,
        "candidates": status.candidates,
        "released": status.released,
        "rolled_back": status.rolled_back,
        "state": status.state,
        "last_reason": status.reason,
        "refused": refusals(status.refused),
    }


def gain_table(found: dict[str, Any]) -> str:
    """Before, while and after adapting."""
    rows = []
    for title, key in (
        ("AbsRel, later frames", "later"),
        ("AbsRel, the video itself", "video"),
        ("AbsRel, original domain", "original"),
        ("loss, original domain", "original_loss"),
    ):
        if found[f"before_{key}"] is None:
            continue
        values = [found.get(f"{stage}_{key}") for stage in ("before", "during", "after")]
        change = found[f"after_{key}"] / found[f"before_{key}"] - 1
        rows.append((title, *(number(value, ".4f") for value in values), f"{change:+.1%}"))
    return "\n".join(
        (
            table(("", "before", "during", "after", "change"), rows),
            f"{found['learning_seconds']:.0f} s of processor time",
            counts_text(found),
        )
    )


def counts_text(found: dict[str, Any]) -> str:
    """What the adapter has done, see ``counts``."""
    return (
        f"{found['admitted']} of {found['frames']} pairs admitted, {found['triangulated']} with "
        f"triangulated depth, {found['steps']} steps, "
        f"{found['candidates']} candidates, {found['released']} released, "
        f"{found['rolled_back']} rolled back; state {found['state']}; refused: {found['refused']}"
    )
