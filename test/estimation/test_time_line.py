"""Which images are new: by their time, and by what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.estimation_helpers import SECOND, STEP, ScriptedEngine, frame

from depth_motion_ros.estimation.estimator import Estimator
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.estimation.time_line import Break, LeftOut, TimeLine
from depth_motion_ros.sources.frame import Frame

MS = SECOND // 1000
GAP = 1.0


def judged(stamps: Sequence[int], gap: float = GAP) -> list[str]:
    """new, older, same or break for each stamp (ms), one after another."""
    line, words = TimeLine(), []
    for stamp in stamps:
        place = line.place(stamp * MS, gap)
        if isinstance(place, LeftOut):
            words.append(place.cause.split()[0])
            continue
        words.append("new" if place is None else "break")
        line.advance(stamp * MS, is_repeated=False)
    return words


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 100, 200], "new new new"),
        ([0, 100, 100, 200], "new new same new"),
        ([0, 200, 100, 300], "new new older new"),
        ([0, 300, 100, 200, 400], "new new older older new"),
        ([0, 100, 0, 100, 200], "new new older same new"),
        ([0, 100, 1200], "new new break"),
        ([5000, 5100, 100, 200], "new new break new"),
        # The clock was set back by less than the gap: four in a row that rise are no late ones.
        ([500, 600, 100, 200, 300, 400, 500], "new new older older older break new"),
        # A loop of three images.
        ([0, 100, 200, 0, 100, 200, 0, 100, 200], "new new new" + " older older same" * 2),
    ],
)
def test_what_is_not_newer_is_left_out(stamps: list[int], expected: str) -> None:
    assert judged(stamps) == expected.split()


def test_a_clock_that_stands_still_does_not_stop_everything() -> None:
    assert judged([100] * 12) == ["new", *["same"] * 9, "break", "same"]
    assert judged([300, 200, 100] * 5).count("break") >= 1


def test_the_gap_decides_how_far_back_is_another_time() -> None:
    assert judged([5000, 4000], gap=0.5)[-1] == "break"
    assert judged([5000, 4000], gap=2.0)[-1] == "older"


def test_after_it_was_told_to_forget_any_time_is_new() -> None:
    line = TimeLine()
    line.advance(5 * SECOND, is_repeated=False)
    line.forget()
    assert line.place(SECOND, GAP) is None


def test_a_break_says_by_how_much() -> None:
    line = TimeLine()
    line.advance(5 * SECOND, is_repeated=False)
    for stamp, words in ((SECOND, "time went back by 4.000 s"), (9 * SECOND, "no frame for 4.000")):
        place = line.place(stamp, GAP)
        assert isinstance(place, Break)
        assert words in place.reason


def way(order: Sequence[int], times: Sequence[float] | None = None) -> tuple[float, list[str]]:
    """How far the estimator went (m) along the wall, two pixels a frame at 10 Hz, and its words.

    order: numbers of the frames in order of arrival. times: their stamps where they differ.
    """
    engine = ScriptedEngine()
    estimator = Estimator(engine, EstimatorSettings(refine=False))
    words, last = [], None
    for index, number in enumerate(order):
        # What the network says is the true motion of whatever pair it is shown.
        engine.moving(0 if last is None else 2 * (number - last))
        time = 0.1 * number if times is None else times[index]
        estimate = estimator.process(frame(1.0 + time, shift=2 * number))
        words.append(estimate.quality.tracking)
        assert np.isfinite(estimate.depth).any()
        assert (estimate.motion is not None) == (words[-1] == "ok")
        if words[-1] != "skipped":
            last = number
    return float(estimator.pose.pose[1, 3]), words


IN_ORDER = range(9)
TRUTH = 8 * 2 * STEP


@pytest.mark.parametrize(
    "order",
    [
        IN_ORDER,
        [n for n in IN_ORDER for _ in (0, 1)],
        [n for n in IN_ORDER for _ in range(3)],
        [0, 1, 3, 2, 4, 6, 5, 7, 8],
        [0, 3, 1, 2, 4, 5, 8, 6, 7],
        [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 6, 7, 8],
    ],
    ids=["in order", "each twice", "three times", "swapped", "two late", "doubled in bursts"],
)
def test_the_way_is_that_of_the_new_images(order: Sequence[int]) -> None:
    went, words = way(order)
    assert went == pytest.approx(TRUTH, rel=1e-4)
    assert words.count("first") == 1
    assert words.count("skipped") == len(order) - words.count("ok") - 1


@pytest.mark.parametrize(
    "order",
    [
        [n for n in IN_ORDER for _ in (0, 1)],
        [n for n in IN_ORDER for _ in range(4)],
        [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 8],
    ],
    ids=["each twice", "each four times", "now and then"],
)
def test_the_same_picture_with_a_new_stamp_is_no_standstill(order: list[int]) -> None:
    repeats = max(order.count(n) for n in IN_ORDER)
    times = [0.1 / repeats * index for index in range(len(order))]
    went, words = way(order, times)
    assert went == pytest.approx(TRUTH, rel=1e-4)
    assert set(words) == {"first", "ok", "skipped"}
    assert words.count("skipped") == len(order) - len(IN_ORDER)


def coded(number: int, seed: int) -> Frame:
    """The wall moved by 8 pixels a frame, and what a video codec leaves of it."""
    noise = np.random.default_rng(seed).integers(-1, 2, (64, 128, 3))
    image = np.clip(frame(0.0, shift=8 * number).image.astype(int) + noise, 0, 255)
    return frame(0.0, image=image.astype(np.uint8))


def test_a_picture_that_a_codec_wrote_twice_is_no_standstill() -> None:
    """25 pictures a second in a video of 50: the second of each differs by a level or so."""
    engine = ScriptedEngine().moving(8)
    estimator = Estimator(engine, EstimatorSettings(refine=False))
    words = []
    for index in range(12):
        picture = coded(index // 2, seed=index)
        estimate = estimator.process(replace(picture, stamp=20 * MS * index))
        words.append(estimate.quality.tracking)
    # What a picture usually differs by is known from the third on.
    assert words[4:] == ["ok", "skipped"] * 4


def test_a_camera_with_noise_that_stops_is_at_rest_soon() -> None:
    estimator = Estimator(ScriptedEngine().moving(8), EstimatorSettings(refine=False))
    for index in range(4):
        estimator.process(replace(coded(index, seed=index), stamp=100 * MS * index))
    words = [
        estimator.process(replace(coded(3, seed=index), stamp=100 * MS * index)).quality.tracking
        for index in range(4, 12)
    ]
    assert words[2:] == ["static"] * 6


def test_the_twist_is_the_same_after_a_repeated_picture() -> None:
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine, EstimatorSettings(refine=False))
    speeds = []
    for index in range(8):
        estimator.process(frame(0.05 * index, shift=2 * (index // 2)))
        twist = estimator.pose.twist
        speeds.append(None if twist is None else float(twist[1]))
    assert speeds[:2] == [None, None]
    assert speeds[2:] == pytest.approx([2 * STEP / 0.1] * 6, rel=1e-3)


def test_a_scene_that_stands_still_to_the_bit_is_at_rest_soon() -> None:
    """A simulation without noise: it must not be without odometry for as long as it stands."""
    estimator = Estimator(ScriptedEngine(), EstimatorSettings(refine=False))
    words = [estimator.process(frame(0.1 * index)).quality.tracking for index in range(10)]
    assert words == ["first", *["skipped"] * 2, *["static"] * 7]
    moved = estimator.process(frame(1.0, shift=2)).quality.tracking
    assert moved != "skipped"
    assert estimator.process(frame(1.1, shift=2)).quality.tracking == "skipped"


def test_what_is_left_out_costs_no_network_where_it_shows_nothing_new() -> None:
    engine = ScriptedEngine().moving(2)
    estimator = Estimator(engine, EstimatorSettings(refine=False))
    estimator.process(frame(0.0))
    second = estimator.process(frame(0.1, shift=2))
    count = len(engine.asked)
    for time in (0.1, 0.15):
        again = estimator.process(frame(time, shift=2))
        assert again.quality.tracking == "skipped"
        assert again.stamp == round(time * SECOND)
        np.testing.assert_array_equal(again.depth, second.depth)
    assert len(engine.asked) == count
    # An older picture that was never seen has its own depth.
    engine.depth *= 2
    older = estimator.process(frame(0.05, shift=1))
    assert "0.050 s older than the last one" in older.quality.reason
    np.testing.assert_allclose(older.depth, 2 * second.depth, rtol=1e-6)


def test_the_same_picture_by_another_camera_is_no_repeat() -> None:
    """The calibration was changed: what follows from it must follow."""
    estimator = Estimator(ScriptedEngine(), EstimatorSettings(refine=False))
    camera = frame(0.0).camera
    assert camera is not None
    other = camera.resized(2 * camera.width, 2 * camera.height).cropped(
        camera.width // 2, camera.height // 2, camera.width, camera.height
    )
    estimator.process(frame(0.0))
    estimate = estimator.process(frame(0.1, camera=other))
    assert estimate.quality.tracking == "static"
    assert estimate.camera.fx == pytest.approx(other.fx)
