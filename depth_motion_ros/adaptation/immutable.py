"""The immutable pairs: what the weights must not forget, and what judges every candidate."""

from __future__ import annotations

from pathlib import Path

from depth_motion_ros.adaptation.pairs import PairRecord


def simulated_pairs(width: int, height: int, count: int = 48, seed: int = 0) -> list[PairRecord]:
    """Rendered pairs of all families, with true depth. The same arguments give the same pairs."""
    return []


def cached_pairs(
    width: int, height: int, count: int = 48, seed: int = 0, folder: Path | None = None
) -> list[PairRecord]:
    """The same from a file of ``folder`` (default: the user's cache), rendered where it is not."""
    return []
