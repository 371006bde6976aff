"""Named scenes as a source of frames: frozen, repeatable, with truth; the simulate command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from depth_motion_ros.cli import main
from depth_motion_ros.simulator.families import build_scene
from depth_motion_ros.sources.frame import FrameSource, SourceError
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.sequence.reader import SequenceSource
from depth_motion_ros.sources.simulated import SCENES, open_simulator

# Median depth (m) and share of pixels on moving things of two frames, as the scenes were when
# they were frozen. A change here makes all earlier figures on these scenes incomparable.
FROZEN: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "crowd": ((13.258, 0.06295), (17.248, 0.04147)),
    "drive": ((16.399, 0.00466), (10.601, 0.00706)),
    "handheld": ((4.1386, 0.09826), (0.97866, 0.08233)),
    "indoor": ((2.8173, 0.00000), (1.9, 0.26968)),
    "yard": ((7.5638, 0.00000), (6.2736, 0.02689)),
}


@pytest.mark.parametrize("name", sorted(SCENES))
def test_named_scenes_do_not_change(name: str) -> None:
    source = open_simulator(f"sim:{name}", width=104, height=64)
    for index, (depth, moving) in zip((11, 170), FROZEN[name], strict=True):
        output = source.render(index)
        assert output.depth.median().item() == pytest.approx(depth, rel=1e-3)
        # One pixel in a hundred of those: silhouettes may round otherwise on another machine.
        assert output.moving.float().mean().item() == pytest.approx(moving, abs=5e-4)


@pytest.mark.parametrize("name", sorted(SCENES))
def test_named_scenes_last_half_a_minute(name: str) -> None:
    scene = SCENES[name]
    assert scene.frames / scene.rate >= 30.0
    assert scene.duration >= (scene.frames + 1) / scene.rate


def test_is_a_frame_source_that_starts_anew() -> None:
    with open_source("sim:yard", width=64, height=48, frames=3) as source:
        assert isinstance(source, FrameSource)
        assert (source.rate, source.length) == (30.0, 3)
        first, second = list(source), list(source)
    assert [frame.stamp for frame in first] == [0, 33_333_333, 66_666_667]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    assert not np.array_equal(first[0].image, first[1].image)


def test_an_image_lies_in_memory_as_other_sources_give_it() -> None:
    # Planes of colours cost every later resize twice the time.
    frame = next(iter(open_simulator("sim:yard", width=96, height=64)))
    assert frame.image.flags.c_contiguous


def test_truth_is_unknown_in_the_sky_and_known_elsewhere() -> None:
    frame = open_simulator("sim:drive", width=104, height=64).frame(5)
    truth = frame.truth
    assert truth is not None
    assert truth.depth is not None
    assert truth.motion is not None
    assert truth.instance is not None
    sky = np.isnan(truth.depth)
    assert 0.02 < sky.mean() < 0.6
    assert not sky[40:].any()
    np.testing.assert_array_equal(np.isnan(truth.motion).any(-1), sky)
    assert (truth.depth[~sky] > 0).all()
    still = (truth.instance == 0) & ~sky
    assert (truth.motion[still] == 0).all()


def test_speed_is_what_the_poses_say() -> None:
    source = open_simulator("sim:drive", width=32, height=16)
    here, there = source.frame(30).truth, source.frame(31).truth
    assert here is not None
    assert there is not None
    assert here.pose is not None
    assert there.pose is not None
    step = np.linalg.norm(there.pose[:3, 3] - here.pose[:3, 3]) * source.scene.rate
    # The path bends a little within a frame, so forward speed is nearly, not quite, all of it.
    assert here.speed == pytest.approx(step, rel=0.01)


def test_fewer_frames_are_the_beginning_of_the_same_scene() -> None:
    whole = open_simulator("sim:indoor", width=48, height=36)
    short = open_simulator("sim:indoor", width=48, height=36, frames=4)
    np.testing.assert_array_equal(whole.frame(3).image, short.frame(3).image)


def test_another_seed_is_another_scene() -> None:
    a = open_simulator("sim:crowd", width=48, height=36, seed=50).frame(0)
    b = open_simulator("sim:crowd", width=48, height=36, seed=51).frame(0)
    assert np.abs(a.image.astype(float) - b.image).mean() > 10


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ("sim:moon", {}, "sim:yard"),
        ("sim:yard", {"width": 0}, "width must be at least 1, got 0"),
        ("sim:yard", {"frames": -2}, "frames must be at least 1, got -2"),
        ("sim:yard", {"seed": -1}, "seed must not be negative, got -1"),
        ("sim:yard", {"rate": 0.0}, "rate must be a positive"),
    ],
)
def test_what_cannot_be_is_said_with_the_value(spec: str, options: dict, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        open_simulator(spec, **options)


def test_unknown_family_names_the_known() -> None:
    with pytest.raises(ValueError, match="'sea'; known: drive"):
        build_scene("sea", 0)


def test_simulate_writes_a_sequence_that_reads_back(tmp_path: Path) -> None:
    out = tmp_path / "scene"
    arguments = ["simulate", "crowd", "--out", str(out), "--frames", "3"]
    arguments += ["--width", "96", "--height", "64", "--image-format", "png"]
    assert main.main(arguments) == 0
    rendered = list(open_simulator("sim:crowd", width=96, height=64, frames=3))
    with SequenceSource(out) as sequence:
        for read, drawn in zip(sequence, rendered, strict=True):
            np.testing.assert_array_equal(read.image, drawn.image)
            assert read.truth is not None
            assert drawn.truth is not None
            # 16 bits of 1/256 m: half a step either way, and nothing beyond 256 m.
            known = drawn.truth.depth < 255.0
            error = np.abs(read.truth.depth - drawn.truth.depth)[known]
            assert error.max() <= 0.5 / 256 + 1e-6
            np.testing.assert_allclose(read.truth.pose, drawn.truth.pose, atol=1e-9)
            np.testing.assert_array_equal(read.truth.instance, drawn.truth.instance)
            # float16 keeps 11 bits.
            np.testing.assert_allclose(
                read.truth.motion[known], drawn.truth.motion[known], rtol=1e-3, atol=1e-6
            )
    assert (out / "contact_sheet.png").stat().st_size > 10_000
    assert (out / "preview.mp4").stat().st_size > 1_000
    assert json.loads((out / "intrinsics.json").read_text())["depth_scale"] == 256.0
