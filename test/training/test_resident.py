"""Frames that live on the training device give the pairs that the loader gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.training_helpers import Room

from depth_motion_ros.training.data.datamodule import TrainingData
from depth_motion_ros.training.data.pairs import PairDataset, collate
from depth_motion_ros.training.data.resident import PlanDataset, ResidentFrames, joined_plans
from depth_motion_ros.training.recipe import Recipe, RecipeError, parse_recipe
from depth_motion_ros.training.report import read_curves
from depth_motion_ros.training.run import RunOptions, train

RECIPE = """
network: {input_width: 128, input_height: 64}
data: {batch_size: 2, recorded: triangulated, known_intrinsics: true}
augment: {min_crop: 0.7, brightness: 0.2}
schedule: {steps: 2}
record: {scalars_every: 1}
"""


class Told(Room):
    """A room that knows its depth, as if triangulated; of frame 1 nothing is known."""

    has_triangulated = True

    def triangulated(self, index: int) -> np.ndarray | None:
        return None if index == 1 else self.depths[index] / np.median(self.depths[index])


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    """Two sizes, of which one is without intrinsics."""
    unknown = Told(3, 96, 64)
    unknown.camera = None
    return [Told(4, 128, 64), unknown]


def recipe(text: str = "") -> Recipe:
    return parse_recipe(RECIPE).overridden(text.split())


def test_what_is_cut_out_is_what_the_loader_cuts_out(rooms: list[Room]) -> None:
    data = PairDataset([(rooms, None)], recipe(), 12)
    plans, keys = PlanDataset(data), [(3, slot) for slot in range(12)]
    resident = ResidentFrames(data.sources, torch.device("cpu"), triangulated=True)
    found = resident(joined_plans([plans[key] for key in keys]))
    expected = collate([data[key] for key in keys])
    for name in ("image_1", "image_2"):
        error = 255 * getattr(found, name) - getattr(expected, name).float()
        # OpenCV rounds to whole gray levels, with weights of 11 bits.
        assert error.abs().max() < 1.01, name
    torch.testing.assert_close(found.K, expected.K)
    torch.testing.assert_close(found.jitter, expected.jitter)
    assert torch.equal(found.known, expected.known)
    assert set(found.known.tolist()) == {True, False}
    told, wanted = found.triangulated, expected.triangulated
    assert told is not None
    assert wanted is not None
    for name in ("rotation", "translation"):
        torch.testing.assert_close(getattr(told, name), getattr(wanted, name), equal_nan=True)
    for name in ("depth_1", "depth_2"):
        one, two = getattr(told, name), getattr(wanted, name)
        whole = one.isnan().flatten(1).all(1)
        assert torch.equal(whole, two.isnan().flatten(1).all(1))
        assert 0 < whole.sum() < len(whole)
        # OpenCV's nearest is the one to the upper left: half a pixel, which is 2 % on the floor's
        # nearest rows and a step at edges. Measured: 92 %.
        ratio = (one / two)[~whole]
        assert ((ratio - 1).abs() < 0.02).float().mean() > 0.9


def test_a_run_learns_the_same_from_either(rooms: list[Room], tmp_path: Path) -> None:
    """Images differ by their rounding, labels by half a pixel: see above."""
    chosen = recipe("triangulated.rotation=0 triangulated.translation=0 triangulated.focal=0")
    losses = []
    for frames in ("loader", "device"):
        out = tmp_path / frames
        options = RunOptions(out, accelerator="cpu", workers=0, progress=False, frames=frames)
        train(chosen, TrainingData(recorded=[(rooms, None)]), options)
        losses.append(read_curves(out / "curves")["loss"][1])
    assert len(losses[0]) == 2
    # Measured 1.4 %.
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)


def test_plans_say_what_the_samples_show(rooms: list[Room]) -> None:
    data = PairDataset([(rooms, None)], recipe(), 4)
    for slot in range(4):
        drawn, plan = data.draw((1, slot)), PlanDataset(data)[1, slot]
        assert rooms[int(plan.source[0])] is data.sources[drawn.source]
        assert plan.frames.tolist() == [[drawn.first, drawn.second]]
        assert plan.size == (128, 64)
        np.testing.assert_array_equal(plan.jitter[0], data[1, slot].jitter)


def test_large_frames_and_masks_stay_with_the_loader(rooms: list[Room], tmp_path: Path) -> None:
    assert ResidentFrames.serves(rooms, (128, 64), 0.7)
    # Crops of 0.9 x 128 columns are averaged to 96, and likewise the rows.
    assert not ResidentFrames.serves(rooms[:1], (96, 32), 0.9)
    masked = Told(2, 128, 64)
    masked.has_masks = True
    assert not ResidentFrames.serves([masked], (128, 64), 0.7)
    options = RunOptions(tmp_path / "run", accelerator="cpu", workers=0, frames="device")
    with pytest.raises(RecipeError, match="--frames loader"):
        train(recipe(), TrainingData(recorded=[([masked], None)]), options)


def test_five_bytes_a_pixel_with_depth_and_three_without(rooms: list[Room]) -> None:
    pixels = 4 * 128 * 64 + 3 * 96 * 64
    assert ResidentFrames.taken(rooms, triangulated=True) == 5 * pixels
    assert ResidentFrames.taken(rooms, triangulated=False) == 3 * pixels
