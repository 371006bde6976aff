"""What ROS refuses at the start of a node is one sentence that names the parameter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")

from depth_motion_ros.nodes.ros.arguments import explain_refusal

ROOT = Path(__file__).resolve().parents[2]
REFUSED = RuntimeError(
    "failed to initialize rcl: Couldn't parse params file: '--params-file x.yaml'. Error: Sequence "
    "should be of same type, at /project/src/parse.c:391, at /project/src/rcl/arguments.c:415"
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[0, 0.1, 0]", "xyz is [0, 0.1, 0]; all entries of a list must be of one type: write "
         "[0.0, 0.1, 0.0]"),
        ("[1, 2.5]", "write [1.0, 2.5]"),
        ("[true, 1]", "xyz is [True, 1]; all entries of a list must be of one type"),
        ("[left, 2]", "xyz is ['left', 2]; all entries of a list must be of one type"),
    ],
)  # fmt: skip
def test_a_list_of_several_types_is_named(tmp_path: Path, value: str, said: str) -> None:
    assert said in explain_refusal(REFUSED, ["node", "--ros-args", "-p", f"xyz:={value}"])
    assert said in explain_refusal(REFUSED, ["--ros-args", "--param", f"depth:xyz:={value}"])
    file = tmp_path / "robot.yaml"
    for start in ("/**:", "/front/depth_motion:", "depth_motion:"):
        file.write_text(f"{start}\n  ros__parameters:\n    rate: 3.0\n    xyz: {value}\n")
        told = explain_refusal(REFUSED, ["--ros-args", "--params-file", str(file)])
        assert told.startswith(f"xyz in {file} is ")
        assert "rate" not in told


@pytest.mark.parametrize("words", [["-p", "a:=[1.0, 1e-3]"], ["--params-file", "/none.yaml"], []])
def test_of_anything_else_rcl_says_what_it_is(words: list[str]) -> None:
    told = explain_refusal(REFUSED, ["--ros-args", *words])
    assert told.startswith("Couldn't parse params file")
    assert told.endswith("should be of same type")


CHECKED = """
import sys
from depth_motion_ros.nodes.ros.parameters import ParameterServer
from depth_motion_ros.nodes.ros.shutdown import run_node
from depth_motion_ros.settings import Setting
from rclpy.node import Node

class Checked(Node):
    def __init__(self):
        super().__init__("checked")
        table = [Setting("xyz", [0.0, 0.0, 0.0], "where", length=3), Setting("name", "", "which")]
        self.config = ParameterServer(self, table, lambda: True, lambda _: None)

def begin(node):
    print("began with", list(node.config["xyz"]), flush=True)
    raise KeyboardInterrupt

sys.exit(run_node(Checked, begin, lambda node: 0))
"""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("xyz:=[0, 0.1, 0]", 2, "cannot start: xyz is [0, 0.1, 0]; all entries"),
        ("xyz:=[]", 2, "cannot start: xyz is empty; it must be 3 finite numbers"),
        ("xyz:=[true, false, true]", 2, "cannot start: xyz is [True, False, True]; it must be 3"),
        ("xyz:=[a, b, c]", 2, "cannot start: xyz is ['a', 'b', 'c']; it must be 3 finite numbers"),
        ("xyz:=[0.5, 0.5]", 2, "cannot start: xyz is [0.5, 0.5]; it must be 3 finite numbers"),
        ("name:=[]", 2, "cannot start: name is empty; it must be text"),
        ("xyz:=[1, 2, 3]", 0, "began with [1.0, 2.0, 3.0]"),
    ],
)
def test_a_node_refuses_in_one_sentence(words: str, status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHECKED, "--ros-args", "-p", words],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
