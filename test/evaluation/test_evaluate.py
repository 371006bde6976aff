"""The runner: what reaches the metrics, in what convention, and how much is kept in memory."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from depth_motion_ros.evaluation.errors import EvaluationError
from depth_motion_ros.evaluation.evaluate import EvaluationOptions, SequenceResult, evaluate
from depth_motion_ros.evaluation.predictor import (
    NetworkPredictor,
    Pair,
    PredictedPairMotion,
    Prediction,
)
from depth_motion_ros.geometry import se3
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.geometry.rotation import euler_to_matrix
from depth_motion_ros.models.config import NetworkConfig
from depth_motion_ros.models.network import DepthMotionNet
from depth_motion_ros.sources.base import Source
from depth_motion_ros.sources.frame import Frame, GroundTruth

HEIGHT, WIDTH = 8, 12
CAMERA = Camera.from_field_of_view(WIDTH, HEIGHT, 1.2)
TURN = se3.transform(Rotation.from_euler("xyz", (1, 3, 2), degrees=True).as_matrix(), (0.1, 0.2, 1))


def depth_of(index: int) -> np.ndarray:
    return np.random.default_rng(index).uniform(2, 20, (HEIGHT, WIDTH)).astype(np.float32)


def motion_of(index: int) -> np.ndarray:
    motion = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    motion[2:4, 3:6] = (0.5, 0, 0.1 * index)
    return motion


class Drive(Source):
    """Frames whose first pixel is their index. every: only each such frame has true depth."""

    def __init__(self, count: int, every: int = 1, truth: bool = True, camera: bool = True) -> None:
        super().__init__("drive", 10.0, count)
        self.every, self.truth, self.camera = every, truth, camera
        self.count = count
        self.alive: weakref.WeakSet[Frame] = weakref.WeakSet()
        self.most_alive = 0

    def __iter__(self) -> Iterator[Frame]:
        pose = np.eye(4)
        for index in range(self.count):
            image = np.full((HEIGHT, WIDTH, 3), index, np.uint8)
            depth = depth_of(index) if index % self.every == 0 else None
            truth = GroundTruth(depth, pose, motion_of(index)) if self.truth else None
            frame = Frame(index * 10**8, image, CAMERA if self.camera else None, truth)
            self.alive.add(frame)
            self.most_alive = max(self.most_alive, len(self.alive))
            yield frame
            del frame, truth
            pose = pose @ TURN


class Oracle:
    """The truth in a unit of its own, half a metre to it."""

    def __init__(self, unit: float = 0.5) -> None:
        self.unit = unit
        self.seen: list[int] = []

    def predict(self, images: Sequence[np.ndarray], pairs: Sequence[Pair]) -> Prediction:
        indices = [int(image[0, 0, 0]) for image in images]
        self.seen += indices
        motions = []
        for first, second in pairs:
            moved = np.eye(4)
            for _ in range(indices[first], indices[second]):
                moved = moved @ TURN
            transform = se3.inverse(moved)
            transform[:3, 3] *= self.unit
            motions.append(
                PredictedPairMotion(transform, motion_of(indices[first]) * self.unit, CAMERA.K)
            )
        return Prediction([depth_of(i) * self.unit for i in indices], motions)


def run(source: Drive | None = None, **options: int) -> SequenceResult:
    return evaluate(Oracle(), source or Drive(11), EvaluationOptions(**options))


def test_the_truth_in_another_unit_is_faultless_after_scaling() -> None:
    metrics = run().metrics
    assert metrics["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert metrics["unscaled_abs_rel"] == pytest.approx(0.5)
    assert metrics["scale"] == pytest.approx(2)
    assert metrics["track_scale"] == pytest.approx(2)
    assert metrics["ate"] == pytest.approx(0, abs=1e-6)
    assert metrics["t_drift"] == pytest.approx(0, abs=1e-6)
    assert metrics["unscaled_t_drift"] == pytest.approx(50 * _straightness(), rel=1e-6)
    # Predicted object motion lies on the pixels of the first frame, in the axes of the second,
    # and takes the scale of the depth.
    assert metrics["motion_epe"] == pytest.approx(0, abs=1e-6)
    assert metrics["motion_iou"] == 1
    assert metrics["focal_error"] == 0


def _straightness() -> float:
    """Distance from start to end of the eleven poses over the length of the path."""
    pose = np.linalg.matrix_power(TURN, 10)
    return float(np.linalg.norm(pose[:3, 3]) / (10 * np.linalg.norm(TURN[:3, 3])))


def test_the_batch_changes_nothing() -> None:
    reference = run(Drive(11, every=3), batch=1)
    for batch in (2, 4, 10, 11, 100):
        result = run(Drive(11, every=3), batch=batch)
        assert result.metrics == pytest.approx(reference.metrics)
        assert result.curves == reference.curves


def test_frames_stream() -> None:
    source = Drive(60)
    run(source, batch=4)
    # A batch, the frame that the next pair begins with, and the one being made.
    assert source.most_alive <= 4 + 1 + 4 + 1


def test_every_pair_is_predicted_once_and_every_depth_scored_once() -> None:
    result = run(Drive(11), batch=4)
    assert result.metrics["frames"] == 11
    assert result.metrics["depth_images"] == 11
    assert result.metrics["motion_images"] == 10
    assert len(result.curves["translation"]) == 10


def test_images_without_depth_are_counted_and_still_give_poses() -> None:
    metrics = run(Drive(11, every=5)).metrics
    assert (metrics["depth_images"], metrics["depth_skipped"]) == (3, 8)
    assert metrics["ate"] == pytest.approx(0, abs=1e-6)


def test_a_limit_ends_the_sequence_early() -> None:
    assert run(limit=5).metrics["frames"] == 5


@pytest.mark.parametrize("batch", [1, 2, 4, 7])
def test_a_stride_takes_pairs_apart_and_depth_of_all(batch: int) -> None:
    oracle = Oracle()
    result = evaluate(oracle, Drive(11), EvaluationOptions(stride=3, batch=batch))
    assert result.metrics["depth_images"] == 11
    # Frames 0, 3, 6 and 9.
    assert len(result.curves["translation"]) == 3
    assert result.metrics["ate"] == pytest.approx(0, abs=1e-6)
    # The true motion of objects is that to the next frame: not to the third.
    assert "motion_epe" not in result.metrics


def test_floors_stand_beside_the_depth() -> None:
    metrics = run().metrics
    assert metrics["floor_constant_abs_rel"] > 0.2
    assert metrics["floor_row_abs_rel"] > 0.2
    assert "floor_row_abs_rel" not in run(with_baselines=False).metrics


def test_depth_alone_asks_for_no_motion() -> None:
    metrics = run(motion=False).metrics
    assert metrics["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert "ate" not in metrics


def test_one_frame_is_scored_for_depth_alone() -> None:
    metrics = run(Drive(1)).metrics
    assert metrics["depth_images"] == 1
    assert "ate" not in metrics


def test_nothing_to_compare_with_is_an_error() -> None:
    with pytest.raises(
        EvaluationError, match="none of 11 frames has true depth, poses, motion or camera"
    ):
        run(Drive(11, truth=False, camera=False))
    with pytest.raises(EvaluationError, match="drive: no frames"):
        run(Drive(0))


def test_without_evo_the_first_pose_says_so_and_depth_alone_still_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "evo.core.metrics", None)
    oracle = Oracle()
    with pytest.raises(EvaluationError, match="pip install evo"):
        evaluate(oracle, Drive(11), EvaluationOptions(batch=2))
    assert oracle.seen == [0, 1]
    assert "abs_rel" in run(motion=False).metrics


def test_a_known_camera_alone_is_enough_for_the_focal_length() -> None:
    assert run(Drive(3, truth=False)).metrics["focal_error"] == 0


@pytest.mark.parametrize("name", ["batch", "limit", "stride"])
def test_options_below_one_are_errors(name: str) -> None:
    with pytest.raises(EvaluationError, match=f"{name} must be 1 or more, got 0"):
        EvaluationOptions(**{name: 0})


@pytest.fixture(scope="module")
def network() -> DepthMotionNet:
    torch.manual_seed(0)
    network = DepthMotionNet(NetworkConfig("lite", 64, 32)).eval()
    # Untrained motions are so small that the two orders of a pair could hardly be told apart.
    network.motion_net.rotation_scale.data.fill_(1.0)
    network.motion_net.translation_scale.data.fill_(1.0)
    return network


def images(count: int, height: int, width: int) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    return [generator.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def test_the_network_predictor_gives_what_the_network_gives(network: DepthMotionNet) -> None:
    one, two = images(2, 32, 64)
    prediction = NetworkPredictor(network).predict([one, two], [(0, 1)])
    first, second = (torch.from_numpy(i).permute(2, 0, 1)[None] / 255 for i in (one, two))
    with torch.no_grad():
        pair = network(first, second)
    forward, motion = pair.motion_12, prediction.motions[0]
    assert prediction.depths[0] == pytest.approx(pair.depth_1[0, 0].numpy(), rel=1e-4)
    assert prediction.depths[1] == pytest.approx(pair.depth_2[0, 0].numpy(), rel=1e-4)
    rotation = euler_to_matrix(forward.rotation)[0].numpy()
    back = euler_to_matrix(pair.motion_21.rotation)[0].numpy()
    assert motion.transform[:3, :3] == pytest.approx(rotation, abs=1e-6)
    assert np.abs(back - rotation).max() > 1e-5
    assert motion.transform[:3, 3] == pytest.approx(forward.translation[0].numpy(), rel=1e-3)
    residual = forward.residual[0].permute(1, 2, 0).numpy()
    assert motion.residual == pytest.approx(residual, rel=1e-3, abs=1e-6)
    np.testing.assert_allclose(motion.K, pair.K[0].numpy(), rtol=1e-4)


def test_results_come_at_the_size_of_the_image(network: DepthMotionNet) -> None:
    small = images(2, 32, 64)
    large = [np.repeat(np.repeat(image, 3, axis=0), 2, axis=1) for image in small]
    predictor = NetworkPredictor(network)
    reference, prediction = predictor.predict(small, [(0, 1)]), predictor.predict(large, [(0, 1)])
    assert prediction.depths[0].shape == (96, 128)
    assert prediction.motions[0].residual.shape == (96, 128, 3)
    # The same view in more pixels: the focal lengths grow with the sides.
    fx, fy = np.diag(reference.motions[0].K)[:2]
    assert np.diag(prediction.motions[0].K)[:2] == pytest.approx((2 * fx, 3 * fy), rel=1e-4)


def test_a_network_in_training_is_evaluated_and_left_in_training(network: DepthMotionNet) -> None:
    network.set_norm_noise(0.5)
    network.train()
    try:
        predictor = NetworkPredictor(network)
        pictures = images(1, 32, 64)
        one, two = (predictor.predict(pictures, []).depths[0] for _ in range(2))
        assert (one == two).all()
        assert network.training
    finally:
        network.set_norm_noise(0.0)
        network.eval()


def test_no_images_no_prediction(network: DepthMotionNet) -> None:
    assert NetworkPredictor(network).predict([], []).depths == []
