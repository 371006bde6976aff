from __future__ import annotations

import numpy as np
import pytest
import torch
from support.engine_helpers import SIZE, fresh_weights, images, trained_like_weights

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import WeightsArchitectureError, build_network


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    return TorchEngine(trained_like_weights(), device="cpu")


def test_the_first_frame_has_depth_and_no_motion(engine):
    prediction = engine.step(None, None, images()[0])
    assert prediction.motion is None
    assert prediction.depth.shape == SIZE[::-1]
    assert prediction.depth.dtype == np.float32
    assert (prediction.depth > 0).all()


def test_a_pair_is_the_networks_own_answer_with_the_newest_image_as_frame_1(engine):
    previous, image = images()
    depth = engine.step(None, None, previous).depth
    prediction = engine.step(previous, depth, image)

    network = build_network(trained_like_weights())
    as_input = [torch.from_numpy(i).permute(2, 0, 1)[None] / 255 for i in (image, previous)]
    with torch.no_grad():
        pair = network(*as_input)
    # Memory layouts differ, so sums are taken in another order: float32 rounding, no more.
    np.testing.assert_allclose(prediction.depth, pair.depth_1[0, 0], rtol=1e-5)
    np.testing.assert_allclose(prediction.motion.rotation, pair.motion_12.rotation[0], rtol=1e-3)
    np.testing.assert_allclose(
        prediction.motion.translation, pair.motion_12.translation[0], rtol=1e-3
    )
    residual = pair.motion_12.residual[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(prediction.motion.residual, residual, atol=1e-4 * residual.max())
    np.testing.assert_allclose(prediction.motion.K, pair.motion_12.K[0], rtol=1e-5)


def test_a_result_stays_what_it_was_after_later_steps(engine):
    first, second = images()
    depth = engine.step(None, None, first).depth
    kept = depth.copy()
    engine.step(first, depth, second)
    np.testing.assert_array_equal(depth, kept)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((None, None, np.zeros((64, 96, 3), np.float32)), "image must be"),
        ((None, None, np.zeros((64, 90, 3), np.uint8)), r"\(64, 90, 3\)"),
        ((images()[0], None, images()[0]), "together"),
        ((images()[0], np.ones((64, 96)), images()[0]), "previous_depth must be"),
    ],
)
def test_a_wrong_argument_is_named(engine, arguments, named):
    with pytest.raises(ValueError, match=named):
        engine.step(*arguments)


def test_new_weights_are_used_from_the_next_step_on():
    engine = TorchEngine(trained_like_weights(seed=0), device="cpu")
    image = images()[0]
    before = engine.step(None, None, image).depth
    engine.load(trained_like_weights(seed=1))
    after = engine.step(None, None, image).depth
    expected = TorchEngine(trained_like_weights(seed=1), device="cpu").step(None, None, image).depth
    np.testing.assert_array_equal(after, expected)
    assert not np.allclose(after, before)
    assert engine.describe().weights_version == "trained-1"


def test_weights_of_another_architecture_are_refused_and_the_old_ones_kept():
    engine = TorchEngine(trained_like_weights(), device="cpu")
    image = images()[0]
    before = engine.step(None, None, image).depth
    with pytest.raises(WeightsArchitectureError, match=r"'lite'.*'resnet18'"):
        engine.load(fresh_weights("resnet18"))
    np.testing.assert_array_equal(engine.step(None, None, image).depth, before)
    assert engine.describe().weights_version == "trained-0"


def test_the_input_size_may_differ_from_the_weights():
    engine = TorchEngine(trained_like_weights(), device="cpu", input_size=(128, 96))
    assert engine.input_size == (128, 96)
    assert engine.step(None, None, images(1, (128, 96))[0]).depth.shape == (96, 128)


def test_a_size_that_is_no_multiple_of_32_is_refused_with_the_nearest():
    with pytest.raises(EngineError, match=r"input_width is 100; .*the nearest is 96"):
        TorchEngine(trained_like_weights(), device="cpu", input_size=(100, 96))


@pytest.mark.parametrize("device", ["tpu", "mps", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(EngineError, match=f"'{device}'.*use"):
        TorchEngine(trained_like_weights(), device=device)


def test_the_threads_of_the_process_are_as_before_after_a_step():
    before = torch.get_num_threads()
    during = []
    engine = TorchEngine(trained_like_weights(), device="cpu", threads=before + 1)
    engine._step.depth_net.register_forward_hook(lambda *_: during.append(torch.get_num_threads()))
    engine.step(None, None, images()[0])
    assert during == [before + 1]
    assert torch.get_num_threads() == before
