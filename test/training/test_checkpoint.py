"""Checkpoints come back as they were, whole or not at all, without unpickling anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from depth_motion_ros.training.checkpoint import (
    CheckpointError,
    SafetensorsCheckpointIO,
    newest_checkpoint,
)

STATE = {
    "global_step": 7,
    "state_dict": {"a.weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(2).bfloat16()},
    # Adam's state is keyed by integers, and its step is a tensor without dimensions.
    "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.999)}],
    "score": float("inf"),
    "nothing": None,
}


def test_round_trip_keeps_types_keys_and_values(tmp_path: Path) -> None:
    io = SafetensorsCheckpointIO()
    io.save_checkpoint(STATE, tmp_path / "x.checkpoint")
    back = io.load_checkpoint(tmp_path / "x.checkpoint")
    torch.testing.assert_close(back["state_dict"], STATE["state_dict"], rtol=0, atol=0)
    state = back["optimizer_states"][0]
    assert state["state"][0]["step"].item() == 3.0
    assert state["betas"] == (0.9, 0.999)
    assert (back["score"], back["nothing"], back["global_step"]) == (float("inf"), None, 7)


def test_tensors_that_share_memory_are_stored_apart(tmp_path: Path) -> None:
    shared = torch.zeros(3)
    io = SafetensorsCheckpointIO()
    io.save_checkpoint({"a": shared, "b": shared[1:]}, tmp_path / "x.checkpoint")
    back = io.load_checkpoint(tmp_path / "x.checkpoint")
    assert (back["a"].shape, back["b"].shape) == ((3,), (2,))


def test_objects_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"checkpoint\.callbacks\.x is of type object"):
        SafetensorsCheckpointIO().save_checkpoint(
            {"callbacks": {"x": object()}}, tmp_path / "x.checkpoint"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    io = SafetensorsCheckpointIO()
    io.save_checkpoint({"step": 1}, tmp_path / "x.checkpoint")

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        io.save_checkpoint({"step": 2}, tmp_path / "x.checkpoint")
    assert io.load_checkpoint(tmp_path / "x.checkpoint") == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.checkpoint"]


@pytest.mark.parametrize("damage", ["missing", "cut", "pickle", "weights"])
def test_other_files_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.checkpoint"
    if damage == "cut":
        SafetensorsCheckpointIO().save_checkpoint(STATE, path)
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "pickle":
        torch.save({"a": 1}, path)
    elif damage == "weights":
        from safetensors.torch import save_file

        save_file({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match=r"x\.checkpoint"):
        SafetensorsCheckpointIO().load_checkpoint(path)


def test_the_newest_checkpoint_has_the_most_steps(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
    for step in (1000, 9, 200):
        (tmp_path / f"step_{step:09d}.checkpoint").touch()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.stem == "step_000001000"
