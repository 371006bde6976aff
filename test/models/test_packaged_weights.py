"""The weights that come with the package: found by name, small and described."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from depth_motion_ros.evaluation.validator import depth_validator
from depth_motion_ros.models.packaged import DEFAULT, FREE, weights_path
from depth_motion_ros.models.weights import METADATA_KEYS, Weights, WeightsFileError, build_network

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "docs" / "reference" / "weights.md"


@pytest.mark.parametrize("name", [DEFAULT, FREE])
def test_each_file_is_whole_small_and_described(name: str) -> None:
    path = weights_path(name)
    assert path.stat().st_size <= 12_000_000
    weights = Weights.from_file(name)
    assert weights.metadata.keys() >= set(METADATA_KEYS)
    assert {t.dtype for t in weights.tensors.values()} == {torch.float16}
    # The card speaks of this very version.
    assert weights.version in CARD.read_text(encoding="utf-8")


def test_the_default_warns_of_its_licence_and_the_other_is_free() -> None:
    assert "non-commercial" in Weights.from_file(DEFAULT).metadata["licence"]
    assert "non-commercial" not in Weights.from_file(FREE).metadata["licence"]
    trained_on = Weights.from_file(FREE).metadata["trained_on"]
    for restricted in ("kitti", "camvid", "redkitchen"):
        assert restricted not in trained_on


def test_other_names_are_paths(tmp_path: Path) -> None:
    assert weights_path("~/net.safetensors") == Path.home() / "net.safetensors"
    assert weights_path(tmp_path / "net.safetensors") == tmp_path / "net.safetensors"
    with pytest.raises(WeightsFileError, match="freedom"):
        Weights.from_file("freedom")


@pytest.mark.parametrize(
    ("sequence", "worst", "rows"),
    [
        ("kitti_raw_campus_stereo", 0.295, 0.319),
        ("indoor_redkitchen_dev", 0.165, 0.180),
        ("vod_01047", 0.165, 0.244),
    ],
)
def test_the_card_tells_the_truth_about_depth(sequence: str, worst: float, rows: float) -> None:
    folder = Path(os.environ.get("DEPTH_MOTION_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "eval" / sequence
    if not path.is_dir():
        pytest.skip(f"{path} is not there: it needs the real recordings (DEPTH_MOTION_DATA)")
    network = build_network(Weights.from_file(DEFAULT))
    # The card's figures, which are better than the best row profile, and a hundredth for rounding.
    found = depth_validator([str(path)])(network)["abs_rel"]
    assert found < worst < rows
