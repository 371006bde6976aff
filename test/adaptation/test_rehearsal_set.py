"""Rehearsal pairs are the same at every start, wherever they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.adaptation_scenes import HEIGHT, WIDTH, K, rehearsal_pairs, scene, untrained

from depth_motion_ros.adaptation.adapter import Adapter
from depth_motion_ros.adaptation.errors import AdaptationError
from depth_motion_ros.adaptation.pairing.records import PairRecord
from depth_motion_ros.adaptation.progress import tell_progress, watched
from depth_motion_ros.adaptation.replay import rehearsal_set as rehearsal
from depth_motion_ros.adaptation.replay.rehearsal_set import cached_pairs, recorded_pairs, split
from depth_motion_ros.adaptation.settings import AdaptationSettings
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.base import Source
from depth_motion_ros.sources.frame import Frame, GroundTruth


def same(one: PairRecord, two: PairRecord) -> bool:
    parts = ("image_1", "image_2", "K", "depth_1", "depth_2")
    return all(
        torch.equal(torch.nan_to_num(getattr(one, p)), torch.nan_to_num(getattr(two, p)))
        for p in parts
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "pairs"


@pytest.fixture(scope="module")
def rendered(folder: Path) -> list[PairRecord]:
    return cached_pairs(64, 32, 4, folder=folder)


def test_rendered_pairs_know_their_depth(rendered: list[PairRecord]) -> None:
    assert len(rendered) == 4
    for record in rendered:
        assert record.image_1.shape == (3, 32, 64)
        assert record.image_1.dtype == torch.uint8
        assert record.depth_1 is not None
        assert torch.nanmedian(record.depth_1) > 0.1
        assert record.displacement > 0 or record.displacement == 0


def test_the_cache_gives_them_back(
    rendered: list[PairRecord], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "simulated_pairs", pytest.fail)
    assert all(map(same, rendered, cached_pairs(64, 32, 4, folder=folder)))


def test_a_damaged_cache_is_rendered_anew(rendered: list[PairRecord], folder: Path) -> None:
    (path,) = folder.glob("*")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert all(map(same, rendered, cached_pairs(64, 32, 4, folder=folder)))
    assert len(path.read_bytes()) == len(whole)


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    rendered: list[PairRecord], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    found = cached_pairs(64, 32, 4, folder=tmp_path / "file" / "cache")
    assert all(map(same, rendered, found))


class Recording(Source):
    """A camera that stands for three frames and then drives."""

    def __init__(self, moving: int) -> None:
        super().__init__("recording", 10.0, 3 + moving)
        self._places = [0.0] * 3 + [0.15 * (i + 1) for i in range(moving)]

    def __iter__(self):  # type: ignore[no-untyped-def]
        for i, x in enumerate(self._places):
            image, depth = scene(x)
            yield Frame(i * 100_000_000, image, Camera(K, WIDTH, HEIGHT), GroundTruth(depth=depth))


def test_recorded_pairs_leave_out_what_stands_still() -> None:
    found = recorded_pairs(Recording(6), WIDTH, HEIGHT, 10)
    # The step from standing to driving and five between driving frames.
    assert len(found) == 6
    assert all(not torch.equal(record.image_1, record.image_2) for record in found)
    assert found[0].depth_1 is not None
    assert found[0].K is not None
    assert torch.allclose(found[0].K, torch.tensor(K, dtype=torch.float32))


def test_recorded_pairs_are_spread_evenly() -> None:
    stamps = [record.stamp for record in recorded_pairs(Recording(9), WIDTH, HEIGHT, 3)]
    assert stamps == pytest.approx([0.3, 0.7, 1.1])


def test_a_recording_without_motion_is_refused() -> None:
    with pytest.raises(AdaptationError, match="no pair of its frames shows motion"):
        recorded_pairs(Recording(0), WIDTH, HEIGHT)


def test_those_that_judge_never_teach() -> None:
    images = [torch.full((3, 32, 64), i, dtype=torch.uint8) for i in range(7)]
    rehearsal_training, rehearsal_validation = split([PairRecord(image, image) for image in images])
    values = [
        {int(r.image_1[0, 0, 0]) for r in part}
        for part in (rehearsal_training, rehearsal_validation)
    ]
    assert values == [{0, 2, 4, 6}, {1, 3, 5}]


def test_one_pair_cannot_do_both() -> None:
    image = torch.zeros((3, 32, 64), dtype=torch.uint8)
    with pytest.raises(AdaptationError, match="2 are needed"):
        split([PairRecord(image, image)])


def test_sky_is_unknown(rendered: list[PairRecord]) -> None:
    for record in rendered:
        assert record.depth_1 is not None
        known = record.depth_1[~torch.isnan(record.depth_1)]
        assert np.all(known.numpy() < 1000)


class EnoughError(Exception):
    """Ends the work."""


def test_rendering_tells_how_far_it_is_and_can_be_ended(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def listen(work: str, done: int, total: int) -> None:
        assert "rendering" in work
        told.append((done, total))
        if done == 8:
            raise EnoughError

    with watched(listen), pytest.raises(EnoughError):
        cached_pairs(64, 32, 12, folder=tmp_path)
    assert set(told) == {(0, 12), (8, 12)}
    assert told == sorted(told)
    assert len(told) > 16  # between two images, and not only between two batches
    assert list(tmp_path.iterdir()) == []
    # Who does not watch is not told.
    tell_progress("rendering", 8, 12)


def test_reading_tells_how_far_it_is_and_can_be_ended() -> None:
    def listen(work: str, done: int, total: int) -> None:
        assert (work, total) == ("reading pairs that must not be forgotten", 12)
        if done == 3:
            raise EnoughError

    with watched(listen), pytest.raises(EnoughError):
        recorded_pairs(Recording(9), WIDTH, HEIGHT, 3)


@pytest.mark.parametrize("work", ["seeing pairs", "judging pairs"])
def test_an_adapter_that_is_made_can_be_ended(work: str) -> None:
    def listen(now: str, done: int, total: int) -> None:
        if now == work and done:
            raise EnoughError

    with watched(listen), pytest.raises(EnoughError):
        Adapter(untrained(), AdaptationSettings(), rehearsal_pairs(24))
