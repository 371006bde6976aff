"""adaptation_node with an adapter that does what is known: run in a process of its own.

python -c "import sys; from support.adaptation_doubles import main; sys.exit(main())" --ros-args ...
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from depth_motion_ros.adaptation.adapter import (
    AdaptationStatus,
    AdmissionResult,
    Release,
    StepReport,
)
from depth_motion_ros.adaptation.budget import Budget
from depth_motion_ros.adaptation.errors import AdaptationError, AdaptationStateError
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.models.weights import Weights
from depth_motion_ros.nodes.adaptation.learning import Replay
from depth_motion_ros.nodes.adaptation.node import AdaptationNode
from depth_motion_ros.nodes.ros.shutdown import run_node

EVERY = 3  # frames from one release to the next


class KnownAdapter:
    """Admits every frame, makes one step of each, and releases after every third.

    Release N is the base with N times a small bias on the depth. ``off`` and ``failing`` are set
    by tests.
    """

    def __init__(self, weights: Weights, frames: int = 0) -> None:
        self.base = self.running = weights
        self.frames = self.steps = frames
        self.released = self.rolled_back = 0
        self.due = False
        self.off = False
        self.failing: Exception | None = None
        self.seen: list[tuple[Any, ...]] = []
        self.saved = 0

    def observe(self, image: Any, stamp_s: float, K: Any, displacement: Any) -> AdmissionResult:
        if self.failing is not None:
            raise self.failing
        self.seen.append((image.shape, stamp_s, K, displacement))
        self.frames += 1
        self.due = True
        return AdmissionResult(True, "admitted")

    def learn(self) -> StepReport | None:
        if not self.due:
            return None
        self.due = False
        self.steps += 1
        return StepReport(self.steps, 0.5, 0.4, {"rgb": 0.1}, 1.0, False, 0.01)

    def consider(self) -> Release | None:
        return self._release(self.released + 1) if self.frames % EVERY == 0 else None

    def rollback(self) -> Release | None:
        if self.released < 2:
            return None
        self.rolled_back += 1
        return self._release(self.released + 1, of=self.released - 1)

    def reset(self) -> Release:
        self.off = False
        return self._release(self.released + 1, of=0)

    def status(self) -> AdaptationStatus:
        state = "off" if self.off else "learning" if self.frames else "waiting"
        return AdaptationStatus(
            state=state, reason="five failures" if self.off else "", version=self.running.version,
            frames=self.frames, admitted=self.frames, refused={"still": 2, "rotation": 1},
            steps=self.steps, skipped_steps=0, candidates=self.released, released=self.released,
            rolled_back=self.rolled_back, failures=0, triangulated=2, live_pairs=3, own_pairs=2,
            held_back_pairs=1, rehearsal_pairs=4, cpu_fraction=0.25,
            losses={"live": 0.4, "held_back": 0.5},
        )  # fmt: skip

    def save(self, folder: str | Path) -> None:
        self.saved += 1
        Path(folder).mkdir(parents=True, exist_ok=True)
        content = {"frames": self.frames, "released": self.released}
        new = Path(folder) / "new"
        new.write_text(json.dumps(content), encoding="utf-8")
        new.replace(Path(folder) / "state.json")

    def restore(self, folder: str | Path) -> None:
        try:
            content = json.loads((Path(folder) / "state.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise AdaptationStateError(f"{folder} is damaged: {error}") from error
        self.frames = self.steps = content["frames"]
        if content["released"]:
            self._release(content["released"])

    def _release(self, number: int, of: int | None = None) -> Release:
        tensors = dict(self.base.tensors)
        [last] = [name for name in tensors if name.endswith("bias") and tensors[name].shape == (1,)]
        tensors[last] = tensors[last] + 1e-3 * (number if of is None else of)
        metadata = {
            **self.base.metadata,
            "version": f"{self.base.version}+{number}",
            "parent": self.running.version,
        }
        self.released = number
        self.running = Weights(tensors, metadata)
        return Release(self.running, number, {"held_back": 0.5})


def build(
    weights: Weights, settings: AdaptationSettings, replay: Replay, budget: Budget
) -> KnownAdapter:
    if replay.data == "nothing":
        raise AdaptationError("nothing: no pair of its frames shows motion")
    return KnownAdapter(weights)


def main() -> int:
    return run_node(
        lambda: AdaptationNode(build),  # type: ignore[arg-type]
        AdaptationNode.begin,
        AdaptationNode.close,
    )
