"""What several partners say of one frame's depth: brought to one scale, and believed together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from depth_motion_ros.geometry.many_views import fused_depth
from depth_motion_ros.geometry.two_view import TwoView

TRUTH = np.linspace(2.0, 8.0, 40 * 60, dtype=np.float32).reshape(40, 60)


def view(depth: NDArray[np.float32], parallax: float = 2.5) -> TwoView:
    return TwoView(np.eye(3), np.array([1.0, 0, 0]), depth, np.full(depth.shape, parallax, "f4"))


def test_views_of_different_baselines_are_brought_to_one_scale() -> None:
    found = fused_depth([view(TRUTH / 0.3), view(TRUTH / 1.7)])
    assert found == pytest.approx(TRUTH / np.median(TRUTH), rel=1e-5)


def test_where_views_disagree_nothing_is_known() -> None:
    other = TRUTH.copy()
    # A thing that moves by itself: 2 of 40 rows lie 1.5 times as far by the other view.
    other[:2] *= 1.5
    found = fused_depth([view(TRUTH), view(other)])
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2:]).all()


def test_a_single_view_is_believed_only_where_parallax_is_large() -> None:
    known = TRUTH.copy()
    known[:20] = np.nan
    assert np.isnan(fused_depth([view(TRUTH, 2.5)])).all()
    found = fused_depth([view(TRUTH, 3.5), view(known, 2.5)])
    assert np.isfinite(found).all()


def test_a_view_of_something_else_is_left_out() -> None:
    rng = np.random.default_rng(0)
    # Two good views, and one whose depth has nothing to do with theirs.
    strange = rng.uniform(1, 100, TRUTH.shape).astype(np.float32)
    found = fused_depth([view(TRUTH), view(TRUTH * 2), view(strange)])
    assert found == pytest.approx(TRUTH / np.median(TRUTH), rel=1e-5)


def test_one_view_may_not_be_enough() -> None:
    rng = np.random.default_rng(0)
    strange = rng.uniform(1, 100, TRUTH.shape).astype(np.float32)
    assert np.isnan(fused_depth([view(TRUTH, 9.0), view(strange, 9.0)], least=2)).all()


def test_without_a_view_there_is_nothing_to_fuse() -> None:
    with pytest.raises(ValueError, match="no view"):
        fused_depth([])
