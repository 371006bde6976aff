"""The command line finds its commands, explains itself and fails in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from xml.etree import ElementTree

import pytest

from depth_motion_ros.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Installs a command of one's own, whose run is the given function."""

    def install(run, module: str = "a_command_for_tests"):
        made = types.ModuleType(module)
        made.add_arguments = lambda parser: parser.add_argument("--minutes", type=int, default=4)
        made.run = run
        monkeypatch.setitem(sys.modules, module, made)
        monkeypatch.setattr(cli, "COMMANDS", {"boil": cli.Command(module, "boil an egg")})

    return install


def test_a_file_name_that_is_no_utf8_ends_no_command(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/stra\xdfe"
    os.mkdir(folder)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "depth_motion_ros.cli.main", "prepare", folder]
    command += ["--out", tmp_path / "set"]
    run = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert run.returncode == 1
    assert b"Traceback" not in run.stderr
    assert b"stra\\udcdfe" in run.stdout + run.stderr
    assert b"the folder is empty" in run.stderr


def test_help_lists_every_command_and_needs_no_ros_or_torch() -> None:
    code = (
        "import sys\n"
        "from depth_motion_ros.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'rclpy', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, command in cli.COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert command.help in done.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_of_the_table_says_what_it_takes(name, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert f"depth_motion {name}" in capsys.readouterr().out


def test_version_is_that_of_the_package_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    stated = ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")
    assert capsys.readouterr().out.strip() == f"depth_motion {stated}"


def test_arguments_reach_the_command_and_its_code_comes_back(command) -> None:
    command(lambda args: args.minutes)
    assert cli.main(["boil", "--minutes", "7"]) == 7


def test_an_unknown_command_suggests_the_nearest(command, capsys) -> None:
    command(lambda args: 0)
    with pytest.raises(SystemExit) as stop:
        cli.main(["boill"])
    assert stop.value.code == cli.WRONG_USAGE
    assert "did you mean 'boil'" in capsys.readouterr().err


def test_no_command_prints_help_and_fails(capsys) -> None:
    assert cli.main([]) == cli.WRONG_USAGE
    assert "commands:" in capsys.readouterr().out


def test_a_typed_error_is_one_line_without_traceback(command, capsys) -> None:
    from depth_motion_ros.sources.frame import SourceError

    def run(args):
        raise SourceError("no video at egg.mp4: give the path of a file")

    command(run)
    assert cli.main(["boil"]) == cli.FAILED
    assert (
        capsys.readouterr().err
        == "depth_motion boil: no video at egg.mp4: give the path of a file\n"
    )
    with pytest.raises(SourceError):
        cli.main(["--traceback", "boil"])


def test_a_bug_keeps_its_traceback(command) -> None:
    def run(args):
        raise KeyError("egg")

    command(run)
    with pytest.raises(KeyError):
        cli.main(["boil"])


def test_interruption_has_the_shells_code(command) -> None:
    def run(args):
        raise KeyboardInterrupt

    command(run)
    assert cli.main(["boil"]) == cli.INTERRUPTED


def test_module_form_survives_the_reexecution_of_the_ros_wheels() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    done = subprocess.run(
        [sys.executable, "-m", "depth_motion_ros.cli.main", "--version"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("depth_motion ")


def test_terminated_a_command_cleans_up(command) -> None:
    cleaned = []

    def run(args) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
            return 0
        finally:
            cleaned.append("children")

    command(run)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        cli.main(["boil"])
    assert end.value.code == 143
    assert cleaned == ["children"]
    # Called from a program of somebody's own, it leaves their signals alone.
    assert signal.getsignal(signal.SIGTERM) == before
