"""The saved state of an adapter: one file of weights, and one for each pair of the robot's past.

Pairs are written once; the state names those that belong to it. It is replaced last, so that a
power cut at any moment leaves a state whose pairs are all there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from depth_motion_ros.adaptation.errors import AdaptationStateError
from depth_motion_ros.adaptation.learner import LearnerState
from depth_motion_ros.adaptation.pairing.records import record_of_tensors, tensors_of_record
from depth_motion_ros.adaptation.replay.buffer import ReplayEntry
from depth_motion_ros.adaptation.status import AdaptationCounts
from depth_motion_ros.adaptation.storage import read_tensors, sync_folder, write_tensors
from depth_motion_ros.models.weights import Weights, WeightsError

FILE = "adaptation.safetensors"
_PAIR = "pair_{}.safetensors"
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class SavedState:
    """All that an adapter needs to continue. first: the weights it started with."""

    first: Weights
    running: Weights
    previous: Weights | None
    learner: LearnerState
    own: list[ReplayEntry]
    held_back: list[ReplayEntry]
    admitted: int
    number: int
    counts: AdaptationCounts
    is_off: bool
    reason: str


def write_state(folder: Path, state: SavedState) -> None:
    """Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [*state.own, *state.held_back]
    digest = _digest(state.first)
    for kept in pairs:
        path = _pair_path(folder, kept.name, digest)
        if not path.exists():
            tensors, numbers = tensors_of_record(kept.record, "pair")
            write_tensors(path, {**tensors, "feature": kept.feature}, dict(numbers))
    previous = state.previous
    parts: dict[str, Mapping[str, Tensor]] = {
        "running": state.running.tensors,
        "previous": {} if previous is None else previous.tensors,
        **{f"learner.{name}": part for name, part in state.learner.tensors.items()},
    }
    about = {
        "format": _FORMAT,
        "first": digest,
        "running": state.running.metadata,
        "previous": None if previous is None else previous.metadata,
        "learner": state.learner.numbers,
        "own": [kept.name for kept in state.own],
        "held_back": [kept.name for kept in state.held_back],
        "admitted": state.admitted,
        "number": state.number,
        "counts": asdict(state.counts),
        "is_off": state.is_off,
        "reason": state.reason,
    }
    tensors = {f"{part}/{name}": t for part, found in parts.items() for name, t in found.items()}
    write_tensors(folder / FILE, tensors, about)
    _remove_strangers(folder, {_pair_path(folder, kept.name, digest) for kept in pairs})


def read_state(folder: Path, first: Weights) -> SavedState:
    """What ``write_state`` wrote. first: the weights it must have begun with.

    A pair that is damaged is left out. Raises AdaptationStateError where the state itself is
    missing, damaged or of other weights.
    """
    tensors, about = read_tensors(folder / FILE)
    digest = _digest(first)
    if about.get("format") != _FORMAT or about.get("first") != digest:
        raise AdaptationStateError(
            f"{folder / FILE} belongs to other weights or to another version of this package; give "
            "the weights it was saved with, or remove the folder and adaptation starts again"
        )
    parts = _by_part(tensors)
    try:
        return _state_of(folder, parts, about, first)
    except (KeyError, TypeError, ValueError, WeightsError) as error:
        raise AdaptationStateError(
            f"{folder / FILE} is incomplete ({error}): remove the folder, adaptation starts again"
        ) from error


def _state_of(
    folder: Path, parts: Mapping[str, dict[str, Tensor]], about: dict[str, Any], first: Weights
) -> SavedState:
    previous = about["previous"]
    names = [field.name for field in fields(AdaptationCounts)]
    # A count that is younger than the state begins at 0.
    counts = AdaptationCounts(
        **{name: about["counts"][name] for name in names if name in about["counts"]}
    )
    digest = about["first"]
    return SavedState(
        first=first,
        running=Weights(parts["running"], about["running"]),
        previous=None if previous is None else Weights(parts["previous"], previous),
        learner=LearnerState(
            {
                part.removeprefix("learner."): found
                for part, found in parts.items()
                if part.startswith("learner.")
            },
            about["learner"],
        ),
        own=_read_pairs(folder, about["own"], digest),
        held_back=_read_pairs(folder, about["held_back"], digest),
        admitted=int(about["admitted"]),
        number=int(about["number"]),
        counts=counts,
        is_off=bool(about["is_off"]),
        reason=str(about["reason"]),
    )


def _read_pairs(folder: Path, names: Iterable[int], digest: str) -> list[ReplayEntry]:
    found = []
    for name in names:
        try:
            tensors, about = read_tensors(_pair_path(folder, name, digest))
            record = record_of_tensors(tensors, about, "pair")
            found.append(ReplayEntry(record, tensors["feature"], int(name)))
        except (AdaptationStateError, KeyError):
            # One pair of many: training does not depend on it.
            continue
    return found


def _by_part(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def _pair_path(folder: Path, name: int, digest: str) -> Path:
    # Names start again with other weights, whose pairs must not be confused with these.
    return folder / _PAIR.format(f"{digest[:8]}_{name}")


def _remove_strangers(folder: Path, wanted: set[Path]) -> None:
    for path in folder.glob(_PAIR.format("*")):
        if path not in wanted:
            path.unlink(missing_ok=True)
    sync_folder(folder)


def _digest(weights: Weights) -> str:
    """Of the values: the header of a file may list its entries in any order."""
    digest = hashlib.sha256()
    for name in sorted(weights.tensors):
        digest.update(name.encode())
        digest.update(weights.tensors[name].detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
