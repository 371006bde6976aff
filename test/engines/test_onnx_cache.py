from __future__ import annotations

import logging
import stat

import pytest
from support.engine_helpers import fresh_weights, graph_cache

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx import graph as onnx_graph

pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")

CONFIG = fresh_weights().config


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A folder that holds the graph, and a tracer that only counts how often it is called."""
    model = onnx_cache.template(CONFIG, graph_cache())
    calls = []

    def trace(config):
        calls.append(config)
        return model

    monkeypatch.setattr(onnx_graph, "trace_template", trace)
    folder = tmp_path / "cache"
    onnx_cache.template(CONFIG, folder)
    assert calls == [CONFIG]
    calls.clear()
    return folder, calls, model


def test_the_second_start_reads_the_graph_and_traces_nothing(cached):
    folder, calls, model = cached
    again = onnx_cache.template(CONFIG, folder)
    assert not calls
    assert again == model


def test_tracing_is_told_because_it_takes_seconds(cached, caplog, tmp_path):
    with caplog.at_level(logging.INFO):
        onnx_cache.template(CONFIG, tmp_path / "another")
    assert "tracing the ONNX graph of lite at" in caplog.text
    assert "done once" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        onnx_cache.template(CONFIG, tmp_path / "another")
    assert not caplog.records


def test_only_the_user_can_read_and_write_the_folder(cached):
    folder, _, _ = cached
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_no_weights_are_kept(cached):
    folder, _, _ = cached
    (path,) = folder.iterdir()
    # The lite weights alone have 9 MB.
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_file_is_rebuilt_with_one_line(cached, caplog, damage):
    folder, calls, model = cached
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": data[:1000], "flip": bytes(data), "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert onnx_cache.template(CONFIG, folder) == model
    assert len(caplog.records) == 1
    assert "damaged" in caplog.text
    assert calls == [CONFIG]
    caplog.clear()
    onnx_cache.template(CONFIG, folder)
    assert not caplog.records


def test_a_folder_that_others_can_write_is_not_believed(cached, caplog):
    folder, calls, _ = cached
    folder.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        onnx_cache.template(CONFIG, folder)
    assert calls == [CONFIG]
    assert f"chmod 700 {folder}" in caplog.text


def test_a_folder_that_cannot_exist_costs_only_time(tmp_path, monkeypatch, caplog):
    model = onnx_cache.template(CONFIG, graph_cache())
    monkeypatch.setattr(onnx_graph, "trace_template", lambda config: model)
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert onnx_cache.template(CONFIG, tmp_path / "file" / "cache") == model
    assert "not kept" in caplog.text


def test_each_architecture_and_size_has_its_own_file():
    names = {
        onnx_cache._file_name(config)
        for config in (CONFIG, CONFIG.sized(128, 64), fresh_weights("resnet18").config)
    }
    assert len(names) == 3


def test_another_torch_never_reads_the_graph_of_this_one(monkeypatch):
    before = onnx_cache._file_name(CONFIG)
    monkeypatch.setattr(onnx_cache.torch, "__version__", "99.0")
    assert onnx_cache._file_name(CONFIG) != before


def test_a_graph_that_lost_a_weight_is_refused():
    model = onnx_cache.template(CONFIG, graph_cache())
    broken = type(model)()
    broken.CopyFrom(model)
    names = [tensor.name for tensor in broken.graph.initializer]
    del broken.graph.initializer[names.index("depth_net.head.bias")]
    with pytest.raises(EngineError, match=r"depth_net\.head\.bias"):
        onnx_graph.check_template(broken, CONFIG)


def test_the_folder_follows_the_users_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert onnx_cache.default_folder() == tmp_path / "depth_motion_ros"
