"""What a sample of the loader says about its pair, whatever crop or mirror it is seen through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from support.training_helpers import Room

from depth_motion_ros.geometry.se3 import inverse
from depth_motion_ros.geometry.warp import sample, transform_depth
from depth_motion_ros.losses.objective import LossWeights
from depth_motion_ros.training.data.augment import CropWindow, whole
from depth_motion_ros.training.data.pairs import PairDataset, collate
from depth_motion_ros.training.recipe import Recipe, RecipeError, parse_recipe
from depth_motion_ros.training.triangulation import pairs as pair_triangulation
from depth_motion_ros.training.triangulation.pairs import PairTriangulation, TriangulatedLabel
from depth_motion_ros.training.triangulation.supervision import KnownMotionObjective

SIZE = (256, 128)


class Told(Room):
    """A room whose triangulated depth is the truth, in units of its median.

    unknown: frames of which nothing is known.
    """

    has_triangulated = True

    def __init__(self, count: int, *unknown: int) -> None:
        super().__init__(count, *SIZE)
        self._unknown = unknown

    def triangulated(self, index: int) -> NDArray[np.float32] | None:
        if index in self._unknown:
            return None
        return np.asarray(self.depths[index] / self.unit(index), np.float32)

    def unit(self, index: int) -> float:
        """Metres of one unit of length."""
        return float(np.median(self.depths[index]))

    def motion(self, first: int, second: int) -> NDArray[np.float64]:
        """(4, 4), metres: points of the first frame into the second one's axes."""
        return inverse(self.poses[second]) @ self.poses[first]


@pytest.fixture(scope="module")
def room() -> Told:
    return Told(4)


def recipe(text: str = "") -> Recipe:
    network = f"network: {{input_width: {SIZE[0]}, input_height: {SIZE[1]}}}\n"
    return parse_recipe(network + "data: {recorded: triangulated}\n" + text)


def told(room: Told, window: CropWindow, first: int = 0, second: int = 1) -> TriangulatedLabel:
    return PairTriangulation(recipe())(room, first, second, window, SIZE)


def check_motion(found: TriangulatedLabel, motion: NDArray[np.float64], unit: float) -> None:
    rotation = found.rotation.numpy().astype(float)
    turned = Rotation.from_matrix(rotation.T @ motion[:3, :3]).magnitude()
    # Measured 0.16 degrees and 0.06 of the way: the flow of 256x128 pixels is that good.
    assert np.degrees(turned) < 0.3
    way = np.linalg.norm(motion[:3, 3])
    assert np.linalg.norm(unit * found.translation.numpy() - motion[:3, 3]) < 0.1 * way


def test_motion_is_in_the_unit_of_the_first_depth(room: Told) -> None:
    found = told(room, whole(*SIZE))
    check_motion(found, room.motion(0, 1), room.unit(0))
    assert found.depth_1.shape == found.depth_2.shape == (1, SIZE[1], SIZE[0])
    np.testing.assert_array_equal(found.depth_1[0], room.triangulated(0))
    np.testing.assert_array_equal(found.depth_2[0], room.triangulated(1))


def test_the_other_order_is_the_inverse_in_the_other_unit(room: Told) -> None:
    found = told(room, whole(*SIZE), 1, 0)
    check_motion(found, inverse(room.motion(0, 1)), room.unit(1))


def test_a_mirrored_pair_moves_as_the_mirrored_camera_does(room: Told) -> None:
    """Mirrored, a turn to the right is one to the left, and so is a step; up stays up."""
    found = told(room, CropWindow(0, 0, *SIZE, mirrored=True))
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    check_motion(found, mirror @ room.motion(0, 1) @ mirror, room.unit(0))
    assert np.linalg.det(found.rotation.numpy()) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(found.depth_1[0], np.flip(room.triangulated(0), axis=1))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_depth_motion_and_K_of_a_sample_lead_from_image_to_image(room: Told, flip: float) -> None:
    """The second image, warped by what the sample says, is the first one: crops and mirrors too."""
    chosen = recipe(f"augment: {{min_crop: 0.6, flip: {flip}}}")
    data = PairDataset([([room], None)], chosen, 6)
    batch = collate([data[(0, slot)] for slot in range(6)])
    truth = batch.triangulated
    assert truth is not None
    one, two = batch.image_1.float() / 255, batch.image_2.float() / 255
    warp = transform_depth(
        truth.depth_1, truth.rotation, truth.translation[:, :, None, None], batch.K
    )
    error = (sample(two, warp.pixel_xy) - one).abs().mean(dim=1, keepdim=True)
    warped = torch.where(warp.valid, error, torch.nan).flatten(1).nanmedian(dim=1).values
    still = (two - one).abs().mean(dim=(1, 2, 3))
    # Measured: 0.02 to 0.04, and 1.2 to 1.5 with the motion of the pair as seen in a mirror.
    assert (warped < 0.1 * still).all()


def test_what_is_unknown_is_nan_and_the_batch_stays_whole() -> None:
    """A frame without depth says nothing about motion; its partner's depth is still worth it."""
    room = Told(3, 0)
    first = told(room, whole(*SIZE), 0, 1)
    assert first.depth_1.isnan().all()
    assert first.depth_2.isfinite().all()
    assert first.rotation.isnan().all()
    assert first.translation.isnan().all()
    second = told(room, whole(*SIZE), 1, 2)
    assert second.translation.isfinite().all()
    assert torch.stack([first.depth_1, second.depth_1]).shape == (2, 1, SIZE[1], SIZE[0])


def test_images_that_do_not_agree_tell_no_motion(room: Told) -> None:
    other = Told(2)
    rng = np.random.default_rng(0)
    other.images[1] = rng.integers(0, 256, other.images[1].shape).astype(np.uint8)
    found = told(other, whole(*SIZE))
    assert found.translation.isnan().all()
    assert found.depth_1.isfinite().all()


def test_motion_is_sought_once_a_pair_and_not_where_nothing_asks(
    room: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    original = pair_triangulation.resected

    def counted(*args: object, **more: object) -> object:
        nonlocal count
        count += 1
        return original(*args, **more)

    monkeypatch.setattr(pair_triangulation, "resected", counted)
    truth = PairTriangulation(recipe())
    again = [truth(room, 0, 1, whole(*SIZE), SIZE) for _ in range(3)]
    assert count == 1
    assert torch.equal(again[0].translation, again[2].translation)
    depth = PairTriangulation(recipe("triangulated: {rotation: 0, translation: 0, focal: 0}"))
    assert depth(room, 0, 1, whole(*SIZE), SIZE).translation.isnan().all()
    assert count == 1


def test_a_source_without_triangulation_is_refused_by_name(room: Told) -> None:
    plain = Room(4, *SIZE)
    plain.name = "front_camera"
    only, both = recipe(), recipe().overridden(["data.recorded=both"])
    with pytest.raises(RecipeError, match=r"front_camera has none; .*--triangulate") as caught:
        PairDataset([([room], None), ([plain], None)], only, 2)
    assert "room" not in str(caught.value)
    # Its images can judge it, where they may; but some source must have what is asked for.
    mixed = PairDataset([([room], 1.0), ([plain], 1.0)], both, 6)
    batch = collate([mixed[(0, slot)] for slot in range(6)])
    assert batch.triangulated is not None
    unknown = batch.triangulated.depth_1.isnan().all(dim=(1, 2, 3))
    assert unknown.tolist().count(True) == 3  # three pairs of each make a round
    with pytest.raises(RecipeError, match="front_camera has none"):
        PairDataset([([plain], None)], both, 2)


def test_images_alone_need_no_triangulation() -> None:
    data = PairDataset([([Room(3, *SIZE)], None)], recipe().overridden(["data.recorded=images"]), 2)
    assert data[(0, 0)].triangulated is None
    assert collate([data[(0, slot)] for slot in range(2)]).triangulated is None


def test_moving_a_batch_moves_what_is_triangulated(room: Told) -> None:
    data = PairDataset([([room], None)], recipe(), 2)
    batch = collate([data[(0, slot)] for slot in range(2)])
    doubled = batch.mapped(lambda tensor: tensor.double())
    assert doubled.triangulated is not None
    assert {tensor.dtype for tensor in doubled.triangulated} == {torch.float64}


def test_motions_are_kept_beside_the_depth_and_read_again(
    room: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "triangulated").mkdir()
    monkeypatch.setattr(room, "folder", tmp_path)
    first = PairTriangulation(recipe())
    first.gather(room, [(0, 1), (1, 2)])
    found = first.motion(room, 0, 1)
    monkeypatch.setattr(pair_triangulation, "resected", None)
    again = PairTriangulation(recipe())
    again.gather(room, [(0, 1), (1, 2)])
    np.testing.assert_array_equal(again.motion(room, 0, 1), found)


def test_a_damaged_file_of_motions_is_found_anew(
    room: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "triangulated" / "motions.json"
    kept.parent.mkdir()
    monkeypatch.setattr(room, "folder", tmp_path)
    for damage in ("{", "[1]", '{"0 1": [1, 2]}', '{"0 1": "x"}'):
        kept.write_text(damage)
        truth = PairTriangulation(recipe())
        truth.gather(room, [(0, 1)])
        assert np.isfinite(truth.motion(room, 0, 1)).all()
    assert "0 1" in kept.read_text()


def test_images_judge_depth_by_the_motion_that_was_triangulated(room: Told) -> None:
    """The true shape costs least, in whatever unit it comes; a constant costs more."""
    data = PairDataset([([room], None)], recipe("triangulated: {images: 1.0}"), 3)
    batch = collate([data[(0, slot)] for slot in range(3)])
    truth = batch.triangulated
    assert truth is not None
    one, two = batch.image_1.float() / 255, batch.image_2.float() / 255
    objective = KnownMotionObjective(LossWeights(depth_smoothness=0.0))

    def cost(depth_1: torch.Tensor, depth_2: torch.Tensor) -> float:
        return float(objective(one, two, depth_1, depth_2, batch))

    true = cost(truth.depth_1, truth.depth_2)
    # The weight of agreeing depths has an absolute epsilon: measured 1.4 % apart.
    assert cost(3 * truth.depth_1, 3 * truth.depth_2) == pytest.approx(true, rel=0.03)
    constant = torch.ones_like(truth.depth_1)
    assert cost(constant, constant) > 1.2 * true


def test_a_pair_without_motion_pulls_at_no_depth(room: Told) -> None:
    data = PairDataset([([room], None)], recipe("triangulated: {images: 1.0}"), 2)
    batch = collate([data[(0, slot)] for slot in range(2)])
    assert batch.triangulated is not None
    unknown = TriangulatedLabel(*(torch.full_like(part, torch.nan) for part in batch.triangulated))
    one, two = batch.image_1.float() / 255, batch.image_2.float() / 255
    depth = (1 + torch.rand(2, 1, *one.shape[2:])).requires_grad_()
    objective = KnownMotionObjective(LossWeights(depth_smoothness=0.0))
    objective(one, two, depth, depth, batch._replace(triangulated=unknown)).backward()
    assert depth.grad is not None
    assert depth.grad.abs().max() < 1e-6
