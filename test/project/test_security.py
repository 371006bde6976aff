"""What a file, a message or a folder from somebody else must not be able to do."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_motion_ros.engines import private_files
from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.models import weights as weights_module
from depth_motion_ros.models.weights import Weights, WeightsFileError
from depth_motion_ros.sources.bag.reader import BagSource
from depth_motion_ros.sources.camera_file import read_camera_file
from depth_motion_ros.sources.frame import SourceError
from depth_motion_ros.sources.sequence.prepared import PreparedDataset
from depth_motion_ros.sources.sequence.reader import SequenceSource
from depth_motion_ros.training.recipe import RecipeError, parse_recipe

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted([*(ROOT / "depth_motion_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")])
# Modules whose readers run what they read.
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval", "exec", "os.system", "os.popen", "torch.load", "torch.save", "torch.hub.load",
    "torch.jit.load", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load",
    "yaml.dump", "tarfile.open", "shutil.unpack_archive",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of such an expression, empty for others."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def offences(source: str) -> Iterator[str]:
    """What in a Python file could run foreign content."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in UNPICKLERS)
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if name in FORBIDDEN_CALLS or name.endswith((".extractall", "allow_pickle")):
                yield name
            if name in ("np.load", "numpy.load"):
                allowed = given.get("allow_pickle")
                if not (isinstance(allowed, ast.Constant) and allowed.value is False):
                    yield f"{name} without allow_pickle=False"
            shell = given.get("shell")
            if isinstance(shell, ast.Constant) and shell.value:
                yield f"{name} with shell=True"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", ["pickle"]),
        ("from joblib import load", ["joblib"]),
        ("torch.load('x')", ["torch.load"]),
        ("np.load('x')", ["np.load without allow_pickle=False"]),
        ("np.load('x', allow_pickle=True)", ["np.load without allow_pickle=False"]),
        ("np.load('x', allow_pickle=False); yaml.safe_load('x'); net.eval()", []),
        ("yaml.load(text)", ["yaml.load"]),
        ("subprocess.run('ls', shell=True)", ["subprocess.run with shell=True"]),
        ("archive.extractall('x')", ["archive.extractall"]),
    ],
)
def test_the_scan_finds_what_it_is_for(source: str, found: list[str]) -> None:
    assert list(offences(source)) == found


def test_no_shipped_file_unpickles_evaluates_or_unpacks() -> None:
    assert len(SHIPPED) > 100  # of some 150: the scan has not lost its way
    found = {
        str(path.relative_to(ROOT)): list(offences(path.read_text(encoding="utf-8")))
        for path in SHIPPED
    }
    assert {name: what for name, what in found.items() if what} == {}


class Bomb:
    """Unpickled it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (str(self.mark), os.O_CREAT | os.O_WRONLY)


def test_a_pickle_under_the_name_of_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    bomb = pickle.dumps(Bomb(mark))
    torch_archive = io.BytesIO()
    with zipfile.ZipFile(torch_archive, "w") as archive:
        archive.writestr("archive/data.pkl", bomb)
    for content in (bomb, torch_archive.getvalue()):
        path = tmp_path / "net.safetensors"
        path.write_bytes(content)
        with pytest.raises(WeightsFileError):
            Weights.from_file(path)
    assert not mark.exists()


def test_weights_of_impossible_size_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(weights_module.MAX_BYTES + 1)  # sparse: takes no space
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("the file was read"))
    with pytest.raises(WeightsFileError, match=str(weights_module.MAX_BYTES)):
        Weights.from_file(path)
    with pytest.raises(WeightsFileError, match=str(weights_module.MAX_BYTES)):
        Weights.from_bytes(bytes(weights_module.MAX_BYTES + 1), "topic weights")


@pytest.mark.parametrize("length", [0, 2**31, 2**63, 2**64 - 1])
def test_a_header_that_lies_of_its_length_is_refused(length: int) -> None:
    with pytest.raises(WeightsFileError):
        Weights.from_bytes(length.to_bytes(8, "little") + b"{}", "lie")


YAML_BOMB = "!!python/object/apply:os.open ['{}', 65]"


def test_yaml_that_constructs_objects_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    text = YAML_BOMB.format(mark)
    with pytest.raises(RecipeError):
        parse_recipe(text)
    camera = tmp_path / "camera.yaml"
    camera.write_text(text)
    with pytest.raises(SourceError):
        read_camera_file(camera)
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "metadata.yaml").write_text(text)
    with pytest.raises(SourceError):
        BagSource(bag)
    assert not mark.exists()


def write_sequence(folder: Path) -> None:
    (folder / "image").mkdir(parents=True)
    cv2.imwrite(str(folder / "image" / "000000.png"), np.zeros((24, 32, 3), np.uint8))
    (folder / "intrinsics.json").write_text('{"width": 32, "height": 24, "K": null}')


@pytest.mark.parametrize("name", ["../outside", "..", "a/../../outside", "", "ABSOLUTE"])
def test_a_data_set_cannot_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    write_sequence(tmp_path / "outside")
    (tmp_path / "set").mkdir()
    entry = {
        "name": str(tmp_path / "outside") if name == "ABSOLUTE" else name, "source": "a",
        "frames": 1, "width": 32, "height": 24, "K": None, "stamps": [0], "speed": None,
        "difference": [0.0],
    }  # fmt: skip
    index = {"version": 1, "settings": {}, "sources": {}, "sequences": [entry]}
    (tmp_path / "set" / "index.json").write_text(json.dumps(index))
    with pytest.raises(SourceError, match="does not lie in this folder"):
        PreparedDataset(tmp_path / "set")


def test_a_bag_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    (tmp_path / "secret.db3").write_bytes(b"not yours")
    (bag / "metadata.yaml").write_text(
        "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: sqlite3\n"
        "  relative_file_paths: ['../secret.db3']\n  duration: {nanoseconds: 0}\n"
        "  starting_time: {nanoseconds_since_epoch: 0}\n  message_count: 0\n"
        "  topics_with_message_count: []\n  compression_format: ''\n  compression_mode: ''\n"
    )
    with pytest.raises(SourceError, match="missing"):
        BagSource(bag)


def motion_file(tmp_path: Path) -> tuple[SequenceSource, Path]:
    write_sequence(tmp_path)
    (tmp_path / "motion").mkdir()
    return SequenceSource(tmp_path), tmp_path / "motion" / "000000.npz"


def test_an_archive_that_unpacks_to_more_than_the_memory_is_refused(tmp_path: Path) -> None:
    source, path = motion_file(tmp_path)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("motion.npy", "w") as entry,
    ):
        for _ in range(900):  # 944 MB of zeros in 1 MB of file
            entry.write(bytes(2**20))
    assert path.stat().st_size < 2**21
    with pytest.raises(SourceError, match="unpacks to 943718400 bytes"):
        source.frame(0)


def test_an_array_of_objects_is_refused_and_not_run(tmp_path: Path) -> None:
    source, path = motion_file(tmp_path)
    mark = tmp_path / "executed"
    objects = np.empty(1, object)
    objects[0] = Bomb(mark)
    np.savez(path, motion=objects)
    with pytest.raises(SourceError, match="allow_pickle"):
        source.frame(0)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))  # no archive at all
    with pytest.raises(SourceError, match="cannot read the array"):
        source.frame(0)
    assert not mark.exists()


def test_the_engine_cache_is_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    private_files.make_private(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    path = folder / "plan.engine"
    private_files.write_sealed(path, b"engine")
    assert path.stat().st_mode & 0o777 == 0o600
    assert private_files.read_sealed(path) == b"engine"

    path.chmod(0o666)
    with pytest.raises(EngineError, match="chmod 600"):
        private_files.read_sealed(path)
    path.chmod(0o600)
    other = folder / "other.engine"
    other.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        private_files.read_sealed(other)
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    with pytest.raises(EngineError, match="damaged"):
        private_files.read_sealed(path)
    folder.chmod(0o770)
    with pytest.raises(EngineError, match="chmod 700"):
        private_files.make_private(folder)
