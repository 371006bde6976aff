"""The package is whole for pip and for ROS 2, and its contracts hold and can fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]


def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that `pip install .` would install, built from a copy."""
    copy = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("depth_motion_ros", "benchmarks", "launch", "config", "resource"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("setup.py", "setup.cfg", "package.xml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    # Without pyproject.toml and isolation: no index is asked for setuptools.
    subprocess.run(
        [sys.executable, "setup.py", "-q", "bdist_wheel", "-d", str(copy / "dist")],
        cwd=copy, check=True, capture_output=True,
    )  # fmt: skip
    [built] = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_a_wheel_carries_what_ros_looks_for(wheel: zipfile.ZipFile) -> None:
    data = {name.partition(".data/data/")[2] for name in wheel.namelist() if ".data/data/" in name}
    assert "share/ament_index/resource_index/packages/depth_motion_ros" in data
    assert "share/depth_motion_ros/package.xml" in data
    for folder in ("launch", "config"):
        shipped = {Path(name).name for name in data if f"/{folder}/" in name}
        assert shipped == {p.name for p in (ROOT / folder).iterdir() if p.is_file()}


def test_a_wheel_carries_every_module_recipe_and_weights_file(wheel: zipfile.ZipFile) -> None:
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "depth_motion_ros").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "depth_motion_ros/py.typed" in files
    assert files <= set(wheel.namelist())
    assert not [name for name in wheel.namelist() if name.startswith("benchmarks/")]


def test_console_scripts_name_functions_that_exist(wheel: zipfile.ZipFile) -> None:
    [path] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    lines = [line for line in wheel.read(path).decode().splitlines() if " = " in line]
    scripts = dict(line.split(" = ") for line in lines)
    nodes = {"depth_motion_node", "camera_node", "adaptation_node"}
    assert set(scripts) == {"depth_motion", *nodes}
    for target in scripts.values():
        module, function = target.split(":")
        source = ROOT / (module.replace(".", "/") + ".py")
        assert f"def {function}(" in source.read_text(encoding="utf-8")


def test_ros_finds_the_executables_where_it_looks() -> None:
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert "install_scripts=$base/lib/depth_motion_ros" in text
    assert "script_dir=$base/lib/depth_motion_ros" in text


def test_the_manifest_declares_every_message_package_that_the_nodes_import() -> None:
    declared = {element.text for element in manifest().iter("exec_depend")}
    imported: set[str] = set()
    for path in (ROOT / "depth_motion_ros" / "nodes").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        imported |= set(re.findall(r"^\s*from (\w+)\.(?:msg|srv) import", text, re.MULTILINE))
    imported -= {"builtin_interfaces"}  # comes with every message package
    assert {"sensor_msgs", "nav_msgs"} <= imported
    assert imported <= declared


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.skip("import-linter is not installed: pip install 'depth_motion_ros[dev]'")
    return subprocess.run(
        [str(tool), "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("geometry/planted.py", "from depth_motion_ros.estimation import estimate", "Arrows"),
        ("engines/planted.py", "from depth_motion_ros.sources import frame", "Arrows"),
        ("cli/planted.py", "from depth_motion_ros.nodes.ros import parameters", "Arrows"),
        ("estimation/planted.py", "def f():\n    import rclpy", "ROS in nodes"),
        ("sources/planted.py", "from sensor_msgs.msg import Image", "ROS in nodes"),
        ("adaptation/planted.py", "import lightning", "Lightning"),
        ("engines/planted.py", "import tensorrt", "TensorRT"),
        ("cli/planted.py", "from benchmarks import report", "Benchmarks"),
    ],
)
def test_the_contracts_catch(module: str, line: str, contract: str, tmp_path: Path) -> None:
    for name in ("depth_motion_ros", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "depth_motion_ros" / module).write_text(line + "\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode != 0, done.stdout
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert len(broken) == 1
    assert broken[0].startswith(contract)


def test_no_folder_hides_its_modules() -> None:
    """The tree is the map: at most fifteen modules in a folder."""
    folders = {path.parent for path in (ROOT / "depth_motion_ros").rglob("*.py")}
    for folder in folders:
        modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 15, (folder.name, sorted(modules))
