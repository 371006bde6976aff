"""What the engine decides: cached or built, refitted or fixed, accepted or refused.

A fake stands for the GPU: its plans hold the weights that they were built or refitted with, and
PyTorch computes with those.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from support.engine_helpers import SIZE, graph_cache, images, trained_like_weights

from depth_motion_ros.cli.main import main
from depth_motion_ros.engines import comparison, private_files
from depth_motion_ros.engines.cuda_device import CudaDevice
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.tensorrt import engine as tensorrt_engine
from depth_motion_ros.engines.tensorrt.build import BuiltPlan
from depth_motion_ros.engines.tensorrt.engine import TensorRTEngine
from depth_motion_ros.engines.tensorrt.runtime import TensorRT
from depth_motion_ros.engines.torch_engine import TorchEngine
from depth_motion_ros.models.weights import Weights, WeightsError

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")


class _Gpu(CudaDevice):
    """Computes on the CPU."""

    @property
    def torch_device(self):
        return torch.device("cpu")


class FakeTensorRT:
    """Builds and runs; counts both, and fails where a test wants it to.

    drops_bias: an engine with REFIT computes something else, as is known of TensorRT 11.3.
    """

    def __init__(self):
        self.version = "10.3.0"
        self.builds = []
        self.open_sessions = 0
        self.drops_bias = False
        self.refit_fails = False
        self.kernels_seen = []
        self.kernels = b""

    def build(self, tensorrt, model, config, precision, *, refit, timings, progress):
        self.builds.append("refit" if refit else "fixed")
        progress(1.0)
        return BuiltPlan((b"R" if refit else b"F") + model, timings + b"+")

    def session(self, tensorrt, gpu, plan, config, *, refit_with=None, kernels=b""):
        self.kernels_seen.append(kernels)
        if refit_with is not None and self.refit_fails:
            raise EngineError("tensorrt has merged 1 of 155 weights into others")
        model = refit_with[0] if refit_with else plan[1:]
        return _Session(self, model, config, wrong=self.drops_bias and plan[:1] == b"R")


class _Session:
    def __init__(self, fake, model, config, wrong):
        graph = onnx.ModelProto.FromString(model).graph
        names = {t.name: t for t in graph.initializer}
        self.model = model
        self._wrong = wrong
        self._fake = fake
        fake.open_sessions += 1
        expected = trained_like_weights(config.architecture)
        tensors = {
            name: torch.from_numpy(onnx.numpy_helper.to_array(names[name]).astype("f4"))
            for name in expected.tensors
        }
        self._engine = TorchEngine(Weights(tensors, expected.metadata), device="cpu")

    def run(self, inputs):
        result = self._engine.step(*inputs.values())
        motion = vars(result.motion) if result.motion else {}
        return {"depth": result.depth * (1.05 if self._wrong else 1.0), **motion}

    def kernels(self):
        return self._fake.kernels

    def close(self):
        self._fake.open_sessions -= 1


@pytest.fixture
def fake(monkeypatch):
    fake = FakeTensorRT()
    gpu = _Gpu(0, "Fake GPU", "8.6", "CUDA 12.8")
    monkeypatch.setattr(tensorrt_engine, "cuda_device", lambda device: gpu)
    monkeypatch.setattr(
        tensorrt_engine,
        "find_tensorrt",
        lambda: TensorRT("tensorrt", fake.version, SimpleNamespace(), None),
    )
    monkeypatch.setattr(tensorrt_engine, "build_plan", fake.build)
    monkeypatch.setattr(tensorrt_engine, "TensorRTSession", fake.session)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.inference_mode())
    template = onnx_cache.template(trained_like_weights().config, graph_cache())
    monkeypatch.setattr(onnx_cache, "template", lambda config, folder: template)
    return fake


@pytest.fixture
def start(fake, tmp_path):
    def run(weights=None, **options):
        return TensorRTEngine(
            weights or trained_like_weights(), cache_folder=tmp_path / "cache", **options
        )

    return run


def _agrees(engine, weights):
    previous, image = images()
    oracle = TorchEngine(weights, device="cpu")
    depth = oracle.step(None, None, previous).depth
    np.testing.assert_allclose(engine.step(None, None, previous).depth, depth, rtol=0.02)
    got, expected = (e.step(previous, depth, image) for e in (engine, oracle))
    np.testing.assert_allclose(got.motion.rotation, expected.motion.rotation, rtol=0.02)
    return True


def test_the_first_start_builds_and_keeps(fake, start):
    engine = start()
    assert fake.builds == ["refit"]
    assert engine.plan_path.is_file()
    assert engine.describe().precision == "fp16"
    assert engine.describe().device == "Fake GPU"
    assert engine.input_size == SIZE
    assert _agrees(engine, trained_like_weights())


def test_the_second_start_builds_nothing_whatever_the_weights(fake, start):
    start().close()
    other = trained_like_weights(seed=1)
    engine = start(other)
    assert fake.builds == ["refit"]
    assert _agrees(engine, other)


def test_what_a_build_measured_helps_the_next(fake, start, tmp_path):
    start(precision="fp16").close()
    start(precision="fp32").close()
    (path,) = (tmp_path / "cache").glob("*.timings")
    # The fake adds one + a build.
    assert private_files.read_sealed(path) == b"++"


def test_kernels_that_the_first_start_compiled_serve_the_next(fake, start):
    fake.kernels = b"kernels of this GPU"
    start().close()
    start().close()
    assert fake.kernels_seen[-1] == fake.kernels


def test_kernels_of_another_driver_give_way_to_fewer_of_this_one(fake, start, tmp_path):
    fake.kernels = b"kernels of two engines for the driver of last month"
    start().close()
    fake.kernels = b"kernels for today's"
    start().close()
    (path,) = (tmp_path / "cache").glob("*.timings")
    assert private_files.read_sealed(path) == fake.kernels


def test_each_precision_has_its_own_engine(fake, start):
    start(precision="fp16").close()
    engine = start(precision="fp32")
    assert len(fake.builds) == 2
    assert engine.describe().precision == "fp32"


def test_another_tensorrt_builds_anew(fake, start):
    start().close()
    fake.version = "10.3.1"
    start().close()
    assert fake.builds == ["refit", "refit"]


def test_a_damaged_engine_is_built_anew_with_one_line(fake, start, caplog):
    first = start()
    first.close()
    first.plan_path.write_bytes(b"x" * 500)
    with caplog.at_level(logging.WARNING):
        start().close()
    # Progress is told, too, where somebody has asked for it.
    [line] = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "damaged" in line
    assert fake.builds == ["refit", "refit"]


def test_loaded_weights_are_those_that_run(fake, start):
    engine = start()
    other = trained_like_weights(seed=1)
    engine.load(other)
    assert _agrees(engine, other)
    assert engine.describe().weights_version == other.version
    assert fake.builds == ["refit"]
    assert fake.open_sessions == 1


def test_weights_that_cannot_be_used_leave_those_in_use(fake, start):
    engine = start()
    name = "depth_net.encoder.stem.weight"
    weights = trained_like_weights(seed=1)
    large = torch.full_like(weights.tensors[name], 1e6)
    with pytest.raises(EngineError, match="float16"):
        engine.load(Weights({**weights.tensors, name: large}, weights.metadata))
    with pytest.raises(WeightsError, match="'resnet18'"):
        engine.load(trained_like_weights("resnet18"))
    assert _agrees(engine, trained_like_weights())
    assert engine.describe().weights_version == trained_like_weights().version
    assert fake.open_sessions == 1


def test_an_engine_that_cannot_be_refitted_is_built_for_the_weights(fake, start, caplog):
    engine = start()
    fake.refit_fails = True
    other = trained_like_weights(seed=1)
    with caplog.at_level(logging.WARNING):
        engine.load(other)
    assert "has merged 1 of 155 weights" in caplog.text
    assert _agrees(engine, other)
    assert fake.open_sessions == 1


def test_a_refittable_engine_that_computes_otherwise_gives_way_to_a_fixed_one(fake, start, caplog):
    fake.drops_bias = True
    with caplog.at_level(logging.WARNING):
        engine = start()
    assert "depth 5.0" in caplog.text
    assert fake.builds == ["refit", "fixed"]
    assert _agrees(engine, trained_like_weights())
    assert fake.open_sessions == 1
    # The next start finds the fixed engine and does not try again what failed.
    engine.close()
    start()
    assert fake.builds == ["refit", "fixed"]


def test_an_engine_that_differs_from_pytorch_is_refused_with_the_figures_and_not_kept(
    fake, start, tmp_path, monkeypatch
):
    wrong = lambda *a, **k: _Session(fake, a[2][1:], a[3], wrong=True)  # noqa: E731
    monkeypatch.setattr(tensorrt_engine, "TensorRTSession", wrong)
    with pytest.raises(EngineError, match=r"differs from PyTorch: depth [45]\.\d\d% \(median\)"):
        start()
    assert not list((tmp_path / "cache").glob("*.engine"))
    assert fake.open_sessions == 0


def test_the_comparison_runs_on_the_images_given(fake, start, monkeypatch):
    seen = []
    plain = comparison.check_acceptable

    def check(reference, other, precision, runtime):
        seen.append(reference.depth)
        return plain(reference, other, precision, runtime)

    monkeypatch.setattr(comparison, "check_acceptable", check)
    previous, image = images()
    start(pair=(previous, image))
    oracle = TorchEngine(trained_like_weights(), device="cpu")
    np.testing.assert_allclose(seen[0], oracle.step(None, None, image).depth, rtol=1e-5)


def test_the_first_real_frames_are_compared_once(fake, start, monkeypatch):
    engine = start()
    previous, image = images()
    depth = engine.step(None, None, previous).depth
    good = engine._session
    engine._session = _Session(fake, good.model, trained_like_weights().config, wrong=True)
    for _ in range(2):
        with pytest.raises(
            EngineError, match=r"differs from PyTorch: depth [45]\.\d\d% \(median\)"
        ):
            engine.step(previous, depth, image)
    engine._session = good
    engine.step(previous, depth, image)

    def fail(*arguments):
        raise AssertionError("compared again")

    monkeypatch.setattr(comparison, "check_acceptable", fail)
    engine.step(previous, depth, image)


def test_progress_is_shown(start):
    shares = []
    start(progress=shares.append)
    assert shares == [1.0]


def test_a_gpu_that_is_not_served_costs_no_build(fake, start, monkeypatch):
    targets = SimpleNamespace(__members__={"CURRENT": 1, "SM89": 2, "SM120": 3})
    for_rtx = TensorRT("tensorrt_rtx", "1.7", SimpleNamespace(ComputeCapability=targets), None)
    monkeypatch.setattr(tensorrt_engine, "find_tensorrt", lambda: for_rtx)
    gpu = _Gpu(0, "NVIDIA H100 80GB HBM3", "9.0", "CUDA 13.0")
    monkeypatch.setattr(tensorrt_engine, "cuda_device", lambda device: gpu)
    with pytest.raises(EngineError, match=r"does not serve the NVIDIA H100.*engine 'torch'"):
        start()
    assert fake.builds == []


def test_a_precision_that_there_is_not(start):
    with pytest.raises(EngineError, match="no precision 'bf16'; use fp16, fp32"):
        start(precision="bf16")


@pytest.fixture
def export(fake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(private_files, "default_folder", lambda: tmp_path / "cache")
    trained_like_weights().to_file(tmp_path / "net.safetensors")

    def run(*words):
        code = main(["export", "--weights", str(tmp_path / "net.safetensors"), *words])
        return code, *capsys.readouterr()

    return run


def test_export_builds_ahead_where_the_node_looks(fake, start, export, tmp_path):
    paths = [str(tmp_path / f"{index}.png") for index in range(2)]
    for path, image in zip(paths, images(size=(200, 120)), strict=True):
        cv2.imwrite(path, image)
    code, out, progress = export("--engine", "--images", *paths)
    assert code == 0
    assert "fp16, Fake GPU; against PyTorch: depth 0." in out
    assert "100%" in progress
    start().close()
    assert fake.builds == ["refit"]


def test_export_tells_an_image_that_is_none(export, tmp_path):
    code, _, error = export("--engine", "--images", str(tmp_path / "a.png"), "b.png")
    assert code == 1
    assert "a.png is no image" in error


def test_export_of_nothing_says_what_to_ask_for(export):
    code, _, error = export()
    assert code == 1
    assert "give --out FILE.onnx, --engine, or both" in error
