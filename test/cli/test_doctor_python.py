"""``depth_motion doctor`` on interpreters and libraries that are not as they should be."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from depth_motion_ros.cli.doctor import python as doctor_python
from depth_motion_ros.cli.doctor.finding import Finding, render
from depth_motion_ros.cli.doctor.python import Library

NUMPY = Library("numpy", "numpy>=1.23", (1, 23))
CV2 = Library("cv2", "opencv-python-headless>=4.6,<5", (4, 6), (5,))


@pytest.mark.parametrize(
    ("version", "distro", "level", "words"),
    [
        ((3, 11, 7), "", "ok", "wheels"),
        ((3, 10, 12), "humble", "ok", "humble"),
        ((3, 12, 3), "jazzy", "ok", "jazzy"),
        ((3, 14, 0), "lyrical", "ok", "lyrical"),
        # A distribution that this version does not know is believed.
        ((3, 12, 3), "rolling", "ok", "rolling"),
        ((3, 12, 3), "humble", "problem", "built for 3.10"),
        ((3, 10, 12), "", "warning", "3.11 to 3.13"),
        ((3, 14, 0), "", "warning", "3.11 to 3.13"),
        ((3, 8, 10), "", "problem", "older than 3.10"),
    ],
)
def test_the_interpreter_is_held_against_the_ros_in_use(
    version: tuple[int, ...], distro: str, level: str, words: str
) -> None:
    environment = {"ROS_DISTRO": distro} if distro else {}
    finding = doctor_python.check_python(environment, version, "/usr/bin/python3")
    assert finding.level == level
    assert words in finding.what


def test_a_missing_library_is_named_with_its_command() -> None:
    def fails(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    finding = doctor_python.check_library(NUMPY, fails)
    assert finding.level == "problem"
    assert "No module named 'numpy'" in finding.what
    assert finding.fix.endswith("-m pip install 'numpy>=1.23'")
    optional = Library("lightning", "lightning>=2.2", (2, 2), optional="`depth_motion train`")
    assert doctor_python.check_library(optional, fails).level == "ok"


@pytest.mark.parametrize(
    ("library", "version", "level"),
    [
        (NUMPY, "2.4.6", "ok"),
        (NUMPY, "1.23", "ok"),
        (NUMPY, "1.21.5", "problem"),
        (CV2, "4.14.0", "ok"),
        (CV2, "5.0.0", "problem"),
        (CV2, "4.5.4", "problem"),
        # A development build whose version says nothing is not refused.
        (CV2, "custom", "ok"),
    ],
)
def test_versions_are_compared_as_numbers(library: Library, version: str, level: str) -> None:
    finding = doctor_python.check_library(library, lambda _: SimpleNamespace(__version__=version))
    assert finding.level == level


def test_a_library_that_breaks_at_import_is_a_problem_and_no_crash() -> None:
    def breaks(name: str) -> object:
        raise AttributeError("_ARRAY_API not found")

    finding = doctor_python.check_library(CV2, breaks)
    assert finding.level == "problem"
    assert "_ARRAY_API not found" in finding.what
    assert "--force-reinstall" in finding.fix


@pytest.mark.parametrize(
    ("text", "numbers"), [("2.13.0+cpu", (2, 13, 0)), ("4.14.0.94", (4, 14, 0, 94)), ("", ())]
)
def test_leading_numbers_are_the_version(text: str, numbers: tuple[int, ...]) -> None:
    assert doctor_python.parse_version(text) == numbers


def test_a_cv_bridge_for_numpy_1_is_a_warning_because_it_is_rarely_needed() -> None:
    def crashes(command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, -11, "", "ignored\nnumpy.core ABI")

    finding = doctor_python.check_cv_bridge(crashes, is_there=lambda: True)
    assert finding.level == "warning"
    assert "numpy.core ABI" in finding.what
    assert "numpy<2" in finding.fix
    assert doctor_python.check_cv_bridge(crashes, is_there=lambda: False).level == "ok"


def test_a_child_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_python, "IMPORT_S", 0.2)
    done = doctor_python.run_quietly(["sleep", "30"])
    assert done.returncode != 0
    assert "no answer" in done.stderr


@pytest.mark.parametrize(
    ("path", "level"),
    [
        ("", "ok"),
        ("/ws/install/lib/python3.12/site-packages", "ok"),
        ("/plain/folder", "ok"),
        ("/a:/opt/ros/humble/lib/python3.10/site-packages", "problem"),
    ],
)
def test_packages_of_another_python_on_the_path_are_told(path: str, level: str) -> None:
    finding = doctor_python.check_leaks({"PYTHONPATH": path}, (3, 12))
    assert finding.level == level
    assert level == "ok" or "python3.10" in finding.what


def test_what_is_not_ok_has_a_fix_and_is_printed_loudly() -> None:
    with pytest.raises(ValueError, match="needs a fix"):
        Finding("problem", "broken")
    with pytest.raises(ValueError, match="ok, warning or problem"):
        Finding("bad", "broken", "mend it")
    text = render("section", [Finding("ok", "fine"), Finding("problem", "broken", "mend it")])
    assert text.splitlines() == [
        "section",
        "  ok       fine",
        "  PROBLEM  broken",
        "           fix: mend it",
    ]
