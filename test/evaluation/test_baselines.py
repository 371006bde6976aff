"""The floors: by hand, against medians in memory, and the published ones of the real data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from depth_motion_ros.evaluation.baselines import BaselineScore, RowProfile, baseline_scores
from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.sources.sequence.reader import SequenceSource

DATA = Path(
    os.environ.get("DEPTH_MOTION_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
NAN = float("nan")
# Half of a histogram bin of 0.14 %.
BIN = 1e-3


def test_a_scene_of_rows_is_no_error_for_the_row_profile_but_for_the_constant() -> None:
    truth = np.repeat(np.array([[20.0], [10.0], [5.0]], np.float32), 4, axis=1)
    result = baseline_scores([truth, 3 * truth])
    # The constant becomes the median, the middle row: relative errors 0.5, 0 and 1.
    assert result["floor_constant_abs_rel"] == pytest.approx(0.5)
    assert result["floor_constant_d1"] == pytest.approx(1 / 3)
    # One profile fits both images: the second is the same up to its median.
    assert result["floor_row_abs_rel"] == pytest.approx(0, abs=BIN)
    assert result["floor_row_d1"] == 1


def test_the_profile_is_the_median_of_all_known_depths_of_a_row() -> None:
    profile = RowProfile()
    profile.add(np.array([[1, 2, NAN], [NAN, NAN, NAN]], np.float32))
    profile.add(np.array([[9, 100, NAN], [NAN, NAN, NAN]], np.float32))
    # 100 m is not scored: the median of 1, 2 and 9.
    assert profile.medians() == pytest.approx([2, NAN], rel=BIN, nan_ok=True)


def test_the_histogram_agrees_with_the_median_in_memory() -> None:
    generator = np.random.default_rng(0)
    truths = [np.exp(generator.normal(2, 0.7, (16, 301))).astype(np.float32) for _ in range(3)]
    profile = RowProfile()
    for truth in truths:
        profile.add(truth)
    kept = np.concatenate(truths, axis=1)
    kept[kept >= 80] = np.nan
    assert profile.medians() == pytest.approx(np.nanmedian(kept, axis=1), rel=2 * BIN)


def test_images_of_different_height_share_the_rows_of_the_lowest_in_any_order() -> None:
    low = np.array([[8, 8], [4, 4]], np.float32)
    high = np.array([[8, 8], [8, 8], [2, 2], [2, 2]], np.float32)
    for truths in ([low, high], [high, low]):
        profile = RowProfile()
        for truth in truths:
            profile.add(truth)
        # Lower half: 4 4 2 2 2 2.
        assert profile.medians() == pytest.approx([8, 2], rel=BIN)


def test_no_truth_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="no image has true depth"):
        baseline_scores([])
    with pytest.raises(EvaluationError, match="no true depth"):
        BaselineScore().add(np.ones((2, 2), np.float32))


def true_depths(*names: str) -> list[np.ndarray]:
    folders = [DATA / "eval" / name for name in names]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"needs the real data: {DATA} (set DEPTH_MOTION_DATA)")
    frames = (frame for folder in folders for frame in SequenceSource(folder))
    return [f.truth.depth for f in frames if f.truth is not None and f.truth.depth is not None]


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("kitti_raw_campus_stereo", (0.599, 0.24, 0.319, 0.43)),
        ("indoor_redkitchen_dev", (0.379, 0.34, 0.178, 0.69)),
    ],
)
def test_the_published_baselines_come_out(
    name: str, published: tuple[float, float, float, float]
) -> None:
    """To the printed digit, but for the rounding of a share that lies between two."""
    result = baseline_scores(true_depths(name))
    errors = [result["floor_constant_abs_rel"], result["floor_row_abs_rel"]]
    shares = [result["floor_constant_d1"], result["floor_row_d1"]]
    assert errors == pytest.approx([published[0], published[2]], abs=0.0006)
    assert shares == pytest.approx([published[1], published[3]], abs=0.006)


def test_the_floors_of_the_lidar_frames_are_near_the_published_ones() -> None:
    """Published: 0.302 / 0.47 and 0.199 / 0.66, by a protocol that the data do not state.

    The protocol that gives the other two sets to the digit gives 0.308 / 0.44 and 0.219 / 0.59
    here, where a profile is fitted to three images of two cameras with sparse truth. These are
    our own measured values: the test holds our protocol still, it does not confirm theirs.
    """
    result = baseline_scores(true_depths("kitti_object_000000", "vod_00549", "vod_01047"))
    assert result["floor_constant_abs_rel"] == pytest.approx(0.308, abs=0.0006)
    assert result["floor_constant_d1"] == pytest.approx(0.44, abs=0.006)
    assert result["floor_row_abs_rel"] == pytest.approx(0.219, abs=0.0006)
    assert result["floor_row_d1"] == pytest.approx(0.59, abs=0.006)
