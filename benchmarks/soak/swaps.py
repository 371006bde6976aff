"""Weights that are replaced during a soak, and what the frames meanwhile have suffered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Rig
from depth_motion_ros.cli.demo.processes import DemoError, NodeProcess
from depth_motion_ros.cli.demo.statistics import percentiles
from depth_motion_ros.models.find import find_weights
from depth_motion_ros.models.weights import Weights, WeightsError

VERSIONS = ("soak a", "soak b")
PERCENTS = (50, 95, 99)


@dataclass(frozen=True)
class Swap:
    """begin, end: ns of the wall clock, of the request and of its answer."""

    begin: int
    end: int
    good: bool
    message: str

    @property
    def seconds(self) -> float:
        return (self.end - self.begin) * 1e-9


@dataclass(frozen=True)
class SwapFiles:
    """target: what the node reads. versions: files that take its place in turn."""

    target: Path
    versions: tuple[Path, ...]

    @classmethod
    def make(cls, weights: str, architecture: str, folder: Path) -> SwapFiles:
        """Two versions of one weights file, that differ in their name. The same tensors, so that
        neither depth nor its cost tells the versions apart.

        weights: a file or name; empty = what the node takes by itself: those of the package, or
        untrained ones where it has none of the architecture.
        """
        try:
            given = find_weights(weights, architecture)
        except WeightsError as error:
            raise DemoError(f"--swaps: {error}") from error
        made = cls(
            folder / "swapped.safetensors",
            tuple(folder / f"{name.replace(' ', '_')}.safetensors" for name in VERSIONS),
        )
        for name, path in zip(VERSIONS, made.versions, strict=True):
            Weights(given.tensors, {**given.metadata, "version": name}).to_file(path)
        Weights.from_file(made.versions[-1]).to_file(made.target)
        return made


class Swapper(NodeProcess):
    """swapper.py as a process of a rig: every line of JSON in its log is a swap."""

    def __init__(self, files: SwapFiles, swaps: int, seconds: float, rig: Rig) -> None:
        """swaps: how many within ``seconds``."""
        arguments = [
            str(files.target), *map(str, files.versions),
            "--swaps", str(swaps), "--period", str(seconds / max(swaps, 1)),
        ]  # fmt: skip
        log = rig.folder / "swapper.txt"
        super().__init__("benchmarks.soak.swapper", arguments, rig.environment, log)
        rig.add(self)

    def swaps(self) -> list[Swap]:
        """Those answered so far."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [Swap(**json.loads(line)) for line in lines if line.startswith("{")]


def share(swaps: int, index: int, count: int) -> int:
    """How many of ``swaps`` fall to the phase ``index`` of ``count``, as evenly as can be."""
    return swaps * (index + 1) // count - swaps * index // count


def meanwhile(
    swaps: Iterable[Swap], served: list[int], latency_ms: list[float]
) -> tuple[list[float], list[float]]:
    """Latencies of the frames that were under way during a swap, and of the others.

    served: stamps of the frames in ns; latency_ms: from there to the receipt of their depth.
    """
    stamps = np.asarray(served, np.float64)
    latencies = np.asarray(latency_ms, np.float64)
    touched = np.zeros(len(stamps), bool)
    for swap in swaps:
        touched |= (stamps <= swap.end) & (stamps + latencies * 1e6 >= swap.begin)
    return latencies[touched].tolist(), latencies[~touched].tolist()


def summary(swaps: list[Swap], served: list[int], latency_ms: list[float]) -> dict[str, Any]:
    """JSON-ready."""
    during, otherwise = meanwhile(swaps, served, latency_ms)
    return {
        "count": len(swaps),
        "refused": [swap.message for swap in swaps if not swap.good],
        "swap_ms": percentiles([1e3 * swap.seconds for swap in swaps], PERCENTS, 1),
        "latency_during_ms": percentiles(during, PERCENTS, 1),
        "latency_otherwise_ms": percentiles(otherwise, PERCENTS, 1),
    }
