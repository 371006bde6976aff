from __future__ import annotations

import dataclasses
import logging
import os
import stat

import pytest
from support.engine_helpers import fresh_weights, graph_cache, trained_like_weights

from depth_motion_ros.engines import private_files
from depth_motion_ros.engines.onnx import cache as onnx_cache
from depth_motion_ros.engines.onnx import graph as onnx_graph
from depth_motion_ros.engines.onnx.precision import to_fp16
from depth_motion_ros.engines.tensorrt.cache import (
    PlanKey,
    graph_digest,
    read_plan,
    read_timings,
    write_plan,
    write_timings,
)

KEY = PlanKey(
    architecture="lite",
    size="416x128",
    precision="fp16",
    graph="5f3a",
    tensorrt="tensorrt 10.3.0",
    gpu="NVIDIA GeForce RTX 3060",
    capability="8.6",
    driver="CUDA 12.8, 570.86.10",
    flags="refit",
)
PLAN = bytes(range(256)) * 16


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cache"
    write_plan(KEY, PLAN, folder)
    return folder


def test_what_was_kept_comes_back(folder):
    assert read_plan(KEY, folder) == PLAN


def test_the_name_says_what_the_file_is_for(folder):
    (path,) = folder.iterdir()
    assert path.name == ("lite-416x128-fp16-refit-tensorrt_10.3.0-NVIDIA_GeForce_RTX_3060.engine")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_kept_is_no_news(tmp_path, caplog):
    assert read_plan(KEY, tmp_path / "cache") is None
    assert not caplog.records


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(PlanKey)])
def test_an_engine_for_anything_else_is_not_used(folder, field, caplog):
    other = dataclasses.replace(KEY, **{field: "other"})
    if other.file_name != KEY.file_name:
        # As if someone had copied the file from another computer.
        (folder / KEY.file_name).rename(folder / other.file_name)
    with caplog.at_level(logging.WARNING):
        assert read_plan(other, folder) is None
    assert len(caplog.records) == 1
    assert f"is for {field} {getattr(KEY, field)!r}, needed is 'other'" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_file_is_not_used_and_one_line_says_why(folder, damage, caplog):
    path = folder / KEY.file_name
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    if damage == "foreign":
        private_files.write_sealed(path, b"ftrt and no header of ours")
    else:
        path.write_bytes({"cut": data[:200], "flip": bytes(data), "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert read_plan(KEY, folder) is None
    assert len(caplog.records) == 1
    assert "no engine of this package" in caplog.text or "damaged" in caplog.text
    write_plan(KEY, PLAN, folder)
    assert read_plan(KEY, folder) == PLAN


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_can_write_is_not_run(folder, what, caplog):
    path = folder if what == "folder" else folder / KEY.file_name
    path.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        assert read_plan(KEY, folder) is None
    assert f"others can write to {path}" in caplog.text


def test_a_file_of_another_user_is_not_run(folder, monkeypatch, caplog):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with caplog.at_level(logging.WARNING):
        assert read_plan(KEY, folder) is None
    assert "belongs to another user" in caplog.text


def test_a_link_is_not_followed(folder, tmp_path):
    path = folder / KEY.file_name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert read_plan(KEY, folder) is None


def test_a_folder_that_cannot_exist_costs_only_a_line(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        write_plan(KEY, PLAN, tmp_path / "file" / "cache")
    assert "not kept for the next start" in caplog.text


def test_the_timing_cache_is_shared_by_all_engines_of_one_gpu(folder):
    write_timings(KEY, b"timings", folder)
    other = dataclasses.replace(KEY, architecture="resnet18", precision="fp32")
    assert read_timings(other, folder) == b"timings"
    assert read_timings(dataclasses.replace(KEY, gpu="another"), folder) == b""


def test_a_damaged_timing_cache_is_left_aside(folder, caplog):
    write_timings(KEY, b"timings", folder)
    (folder / KEY.timings_name).write_bytes(b"timings")
    assert read_timings(KEY, folder) == b""
    assert "timing cache" in caplog.text


def test_the_digest_is_of_what_the_graph_computes():
    pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxscript")
    template = onnx_cache.template(fresh_weights().config, graph_cache())
    remarked = type(template)()
    remarked.CopyFrom(template)
    remarked.graph.node[0].doc_string = "exported on another day"
    remarked.metadata_props.add(key="version", value="7")
    digests = {
        "template": graph_digest(template),
        "half": graph_digest(to_fp16(template)),
        "fresh": graph_digest(onnx_graph.filled(template, fresh_weights())),
        "trained": graph_digest(onnx_graph.filled(template, trained_like_weights())),
    }
    assert graph_digest(remarked) == digests["template"]
    assert len(set(digests.values())) == 4
