from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.odometry.ground_truth_engine import Disturbance, GroundTruthEngine
from depth_motion_ros.estimation.alignment.search import MEAN_DEPTH_ERROR_SHARE
from depth_motion_ros.estimation.alignment.triangulated_points import TriangulatedPoints
from depth_motion_ros.estimation.estimate import Quality
from depth_motion_ros.estimation.estimator import Estimator, RequestedOutputs
from depth_motion_ros.estimation.pair import PairMotion
from depth_motion_ros.estimation.scale.drift_filter import ScaleDriftFilter
from depth_motion_ros.estimation.settings import EstimatorSettings
from depth_motion_ros.geometry import se3
from depth_motion_ros.sources.open import open_source

DEPTH_ERROR = 0.3
# Metres the camera moves ahead from frame to frame.
STEP = 1.0


def triangulated(unit: float, rng: np.random.Generator) -> TriangulatedPoints:
    """100 points that lie on a grid, 20 m away in all frames, seen in a unit of so many metres."""
    x, y = np.meshgrid(np.arange(20, 400, 20), np.arange(10, 120, 20))
    pixel = np.stack((x.ravel(), y.ravel())).astype(np.float32)
    depth = np.log(20.0 / unit) + 0.01 * rng.normal(size=pixel.shape[1])
    depth = depth.astype(np.float32)
    return TriangulatedPoints(
        pixel, pixel, depth, depth, np.full(depth.size, 0.01**2, np.float32), (416, 128)
    )


def pair(unit: float, rng=None, tracking: str = "ok") -> PairMotion:
    """rng: None = nothing was triangulated."""
    seen = None if rng is None else triangulated(unit, rng)
    covariance = np.diag([(0.1 / unit) ** 2] * 3 + [1e-6] * 3)
    return PairMotion(
        np.eye(3), np.array([0, 0, STEP / unit]), covariance, Quality(tracking), triangulated=seen
    )


def wandering(count: int, rng: np.random.Generator) -> np.ndarray:
    """Units whose logarithm wanders by 10 %, half as much from frame to frame."""
    logs = [0.0]
    for _ in range(count - 1):
        logs.append(0.87 * logs[-1] + 0.05 * rng.normal())
    return np.exp(logs)


def test_a_unit_that_wanders_is_steadied():
    rng = np.random.default_rng(0)
    units = wandering(60, rng)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    lengths = np.array([steady.filtered(pair(unit, rng)).translation[2] for unit in units])
    raw, after = (np.abs(np.diff(np.log(each))) for each in (STEP / units, lengths))
    # From frame to frame it changed by 5 %; now by what points are exact to, and by the pull back.
    assert np.median(raw) > 0.02
    assert np.median(after) < 0.2 * np.median(raw)
    assert np.log(lengths).std() < 0.6 * np.log(units).std()
    # In the mean it is the network's.
    assert np.mean(np.log(lengths)) == pytest.approx(0, abs=0.1)


def test_the_doubt_about_the_network_may_change():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    steady.filtered(pair(1.0, rng))
    before = steady.variance
    steady.set_depth_relative_std(0.1 * DEPTH_ERROR)
    assert steady.variance < 0.02 * before


def test_after_a_lost_frame_it_is_the_network_s_unit_and_that_is_doubted():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    for unit in (1.0, 1.0, 1.3, 1.3):
        steady.filtered(pair(unit, rng))
        told = steady.variance_since
    assert steady.factor == pytest.approx(1.3, rel=0.1)
    # Points told the ratio of two units to a percent or two.
    assert np.sqrt(told) < 0.03
    lost = pair(1.3, rng, "lost")
    assert steady.filtered(lost) is lost
    assert steady.factor == 1
    # Whoever remembers lengths of before has to know.
    assert np.sqrt(steady.variance_since) == pytest.approx(0.2, rel=0.01)
    steady.filtered(pair(1.0, rng))
    assert np.sqrt(steady.variance_since) < 0.1


def test_new_weights_are_doubted_in_the_frame_in_which_they_come():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    for _ in range(4):
        steady.filtered(pair(1.0, rng))
    steady.reset()
    steady.filtered(pair(1.0, rng))
    assert np.sqrt(steady.variance_since) > 0.2


def test_it_comes_back_to_a_network_that_means_it():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    # Points tell of a unit that shrank by a tenth at frame 5 and stays so: at first that is taken
    # to be an error, and in the end the network's to decide.
    factors = []
    for unit in [1.0] * 5 + [0.9] * 300:
        steady.filtered(pair(unit, rng))
        factors.append(steady.factor)
    assert factors[5] == pytest.approx(0.9, abs=0.02)
    assert factors[-1] == pytest.approx(1.0, abs=0.03)


def test_what_is_told_is_in_the_steady_unit_with_its_covariance():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    steady.filtered(pair(1.0, rng))
    given = pair(0.8, rng)
    told = steady.filtered(given)
    assert steady.factor == pytest.approx(0.8, abs=0.05)
    np.testing.assert_allclose(told.translation, steady.factor * given.translation)
    # Turns have no unit; sidesteps shrink with it; the length of the step is better known.
    np.testing.assert_array_equal(told.covariance[3:, 3:], given.covariance[3:, 3:])
    assert told.covariance[0, 0] == pytest.approx(steady.factor**2 * given.covariance[0, 0])
    along = (steady.factor * given.translation[2]) ** 2
    expected = steady.factor**2 * given.covariance[2, 2]
    expected += along * (steady.variance - (MEAN_DEPTH_ERROR_SHARE * DEPTH_ERROR) ** 2)
    assert told.covariance[2, 2] == pytest.approx(expected)


def test_a_length_that_is_known_leaves_the_rest_as_uncertain_as_it_was():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(6, 6))
    covariance = mixed @ mixed.T
    turned = se3.exp([0, 0, 0, 0.1, 0.4, -0.2])[:3, :3]
    step = np.array([0.3, -0.2, 1.0])
    given = PairMotion(turned, step, covariance, Quality("ok"))
    told = given.with_length_known(0.05**2).covariance
    # The translation of an error e in motion · exp(e) is in the axes before the turn.
    ahead = np.append(turned.T @ step, np.zeros(3)) / np.linalg.norm(step)
    assert ahead @ told @ ahead == pytest.approx((0.05 * np.linalg.norm(step)) ** 2)
    others = np.linalg.svd(ahead[None])[2][1:]
    np.testing.assert_allclose(others @ told @ others.T, others @ covariance @ others.T, atol=1e-9)
    np.testing.assert_allclose(others @ told @ ahead, 0, atol=1e-12)
    at_rest = replace(given, translation=np.zeros(3))
    assert at_rest.with_length_known(0.05**2) is at_rest


def test_from_frame_to_frame_the_unit_is_better_known_than_in_all():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    steady.filtered(pair(1.0, rng))
    steady.filtered(pair(0.9, rng))
    assert 0.005**2 <= steady.change_variance < 0.02**2 < steady.variance
    # Where nothing is compared it may have changed by half of what it wanders.
    steady.filtered(pair(0.9))
    assert steady.change_variance == pytest.approx(
        (0.5 * MEAN_DEPTH_ERROR_SHARE * DEPTH_ERROR) ** 2
    )


def test_without_points_it_slowly_becomes_the_network_s_again():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    steady.filtered(pair(1.0, rng))
    steady.filtered(pair(0.8, rng))
    known = steady.variance
    off = [abs(np.log(steady.factor))]
    for _ in range(50):
        steady.filtered(pair(0.8))
        off.append(abs(np.log(steady.factor)))
        assert known <= steady.variance <= (MEAN_DEPTH_ERROR_SHARE * DEPTH_ERROR) ** 2
    assert (np.diff(off) <= 0).all()
    assert off[-1] < 0.05 * off[0]


def test_what_the_network_pulls_back_is_known():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    steady.filtered(pair(1.0, rng))
    assert steady.change == 1.0
    lengths, changes = [], []
    for _ in range(20):
        # The same step of a metre, in a unit that stays 0.8 m.
        lengths.append(steady.filtered(pair(0.8, rng)).translation[2])
        changes.append(steady.change)
    # From frame to frame it is told longer by what is known, but for the noise of the points.
    np.testing.assert_allclose(np.divide(lengths[1:], lengths[:-1]), changes[1:], atol=0.01)
    # In all it became longer by a tenth at least.
    assert np.prod(changes) > 1.1
    # Where nothing is compared, nothing is known of the unit.
    steady.filtered(pair(0.8))
    assert steady.change == 1.0


def test_standing_still_forgets_nothing():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    steady.filtered(pair(1.0, rng))
    steady.filtered(pair(0.8, rng))
    before = steady.factor, steady.variance
    for _ in range(100):
        steady.filtered(pair(1.1, tracking="static"))
    assert (steady.factor, steady.variance) == before


def test_a_frame_without_a_pair_begins_anew():
    rng = np.random.default_rng(0)
    steady = ScaleDriftFilter(DEPTH_ERROR)
    steady.filtered(pair(1.0, rng))
    steady.filtered(pair(0.8, rng))
    assert steady.filtered(None) is None
    assert steady.factor == 1.0
    # And is not compared with what was before.
    steady.filtered(pair(2.0, rng))
    assert steady.factor == 1.0


class Wavering(GroundTruthEngine):
    """Knows the truth, in a unit that is another for every second frame."""

    def __init__(self, units: tuple[float, float]) -> None:
        super().__init__((416, 128), Disturbance(0.0, 0.1, 0.1), sky=True)
        self._units = itertools.cycle(units)
        self.by = 1.0

    def step(self, previous_image, previous_depth, image):
        said = super().step(previous_image, previous_depth, image)
        factor = np.float32(self.by / next(self._units))
        said.depth[:] *= factor
        if said.motion is not None:
            said.motion.translation[:] *= factor
        return said


def told_units(estimator, engine, frames):
    """(N,) metres in a unit of the depth that is told."""
    found = []
    for frame in frames:
        engine.show(frame)
        depth = estimator.process(frame, RequestedOutputs(object_flow=False)).depth
        rows, columns = (
            np.arange(n) * m // n for n, m in zip(depth.shape, frame.truth.depth.shape, strict=True)
        )
        truth = frame.truth.depth[np.ix_(rows, columns)]
        found.append(np.nanmedian(truth / depth))
    return np.array(found)


@pytest.fixture(scope="module")
def frames():
    with open_source("sim:drive") as source:
        return list(itertools.islice(source, 8))


SETTINGS = EstimatorSettings(depth_relative_std=DEPTH_ERROR, max_depth=1e5)


def test_depth_and_motion_of_a_video_keep_one_unit(frames):
    engine = Wavering((1.0, 1.2))
    units = told_units(Estimator(engine, SETTINGS), engine, frames)
    # The network's alternate by 20 %.
    assert np.abs(np.diff(np.log(units[2:]))).max() < 0.06


def test_new_weights_bring_their_own_unit(frames):
    engine = Wavering((1.0, 1.2))
    estimator = Estimator(engine, SETTINGS)
    told_units(estimator, engine, frames[:5])
    new = Wavering((1.0, 1.0))
    new.by = 0.25
    new.show(frames[4])
    estimator.use_engine(new)
    # Four metres in a unit now, from the first frame on.
    units = told_units(estimator, new, frames[5:])
    np.testing.assert_allclose(units, 4.0, rtol=0.03)
