"""Adaptation goes on where it was, and a power cut or a damaged file costs at most the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.adaptation_scenes import K, rehearsal_pairs, scene, settings, untrained

from depth_motion_ros.adaptation.adapter import Adapter
from depth_motion_ros.adaptation.errors import AdaptationStateError
from depth_motion_ros.adaptation.release import RELEASED, ReleaseDecision
from depth_motion_ros.adaptation.state import FILE
from depth_motion_ros.adaptation.storage import read_tensors, write_tensors

WEIGHTS = untrained()
PAIRS = rehearsal_pairs(2)


def adapter(seed: int = 0) -> Adapter:
    chosen = settings(hold_back_every=3, min_held_back=2, steps_per_candidate=2)
    return Adapter(untrained(seed), chosen, PAIRS)


@pytest.fixture(scope="module")
def used() -> Adapter:
    """Four pairs taught, two judge, and one release."""
    learner = adapter()
    for i in range(11):
        learner.observe(scene(0.2 * i)[0], 0.1 * i, K)
        learner.learn()
    learner._gate.decide = lambda *_: ReleaseDecision(RELEASED, "", {"held_back": 0.5})  # type: ignore[method-assign]
    assert learner.consider() is not None
    return learner


@pytest.fixture
def folder(used: Adapter, tmp_path: Path) -> Path:
    used.save(tmp_path / "state")
    return tmp_path / "state"


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_what_was_saved_comes_back(used: Adapter, folder: Path) -> None:
    again = adapter()
    again.restore(folder)
    assert same(again.running.tensors, used.running.tensors)
    assert again.running.metadata == used.running.metadata
    assert again.number == 1
    before, now = used.status(), again.status()
    for name in ("frames", "admitted", "steps", "released", "refused", "own_pairs"):
        assert getattr(now, name) == getattr(before, name), name
    assert now.held_back_pairs == before.held_back_pairs == 2
    state, restored = used._learner.state().tensors, again._learner.state().tensors
    assert all(same(state[part], restored[part]) for part in state)
    depths = [kept.record.depth_2 for kept in used._memory.own]
    again_depths = [kept.record.depth_2 for kept in again._memory.own]
    assert any(depth is not None for depth in depths)
    for one, two in zip(depths, again_depths, strict=True):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert (two.dtype, two.shape) == (torch.float16, one.shape)
            assert torch.equal(torch.nan_to_num(one), torch.nan_to_num(two))
    # The next release goes on counting, and rollback still knows the way.
    back = again.rollback()
    assert back is not None
    assert back.number == 2
    assert same(back.weights.tensors, WEIGHTS.tensors)


def test_pairs_are_written_once_and_go_when_they_are_evicted(used: Adapter, folder: Path) -> None:
    pairs = {path: path.stat().st_mtime_ns for path in folder.glob("pair_*")}
    assert len(pairs) == used.status().own_pairs + 2
    stranger = folder / "pair_00000000_7.safetensors"
    stranger.write_bytes(b"left by an earlier run")
    used.save(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("pair_*")} == pairs


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "empty", "another file"])
def test_a_damaged_state_is_refused_and_changes_nothing(folder: Path, damage: str) -> None:
    path = folder / FILE
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes({"truncated": data[:-100], "empty": b""}.get(damage, b"\x80\x04." * 99))
    learner = adapter()
    with pytest.raises(AdaptationStateError, match=FILE):
        learner.restore(folder)
    assert same(learner.running.tensors, WEIGHTS.tensors)
    assert learner.status().frames == 0


def test_a_damaged_pair_costs_that_pair(used: Adapter, folder: Path) -> None:
    own = used._memory.own[0].name
    (path,) = folder.glob(f"pair_*_{own}.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    learner = adapter()
    learner.restore(folder)
    assert learner.status().own_pairs == used.status().own_pairs - 1


def test_the_state_of_other_weights_is_refused(folder: Path) -> None:
    with pytest.raises(AdaptationStateError, match="belongs to other weights"):
        adapter(seed=1).restore(folder)


_WRITER = """
import sys, torch
from pathlib import Path
from depth_motion_ros.adaptation.storage import write_tensors
path = Path(sys.argv[1])
for count in range(10**9):
    write_tensors(path, {"values": torch.full((200_000,), float(count))}, {"count": count})
    if count == 0:
        print("begun", flush=True)
"""


def test_killed_at_any_moment_the_file_is_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    for _ in range(10):
        os.kill(process.pid, signal.SIGSTOP)
        # As after a kill: whatever lies there now is what a restart would find.
        tensors, about = read_tensors(path)
        assert torch.equal(tensors["values"], torch.full((200_000,), float(about["count"])))  # type: ignore[arg-type]
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.02)
    process.kill()
    process.wait()
    process.stdout.close()
    tensors, about = read_tensors(path)
    assert float(tensors["values"][0]) == about["count"]


def test_a_write_that_fails_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "state.safetensors"
    write_tensors(path, {"values": torch.zeros(3)}, {})
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_tensors(path, {"values": torch.ones(3)}, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
