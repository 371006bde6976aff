"""Is the software there: the interpreter, the libraries, and versions that get along."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from depth_motion_ros.cli.doctor.finding import Finding, ok, problem, warning

Version = tuple[int, ...]
Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]

# Of the system Python for which the distribution's rclpy is built.
PYTHON_OF_DISTRO: dict[str, Version] = {
    "humble": (3, 10),
    "jazzy": (3, 12),
    "kilted": (3, 12),
    "lyrical": (3, 14),
}
OLDEST: Version = (3, 10)
ROS_WHEELS = ((3, 11), (3, 13))
IMPORT_S = 60


@dataclass(frozen=True)
class Library:
    """A module we import. minimum, below: versions that are good, upper bound excluded.

    optional: what is lost without it; empty = nothing works without it.
    """

    module: str
    requirement: str
    minimum: Version
    below: Version | None = None
    optional: str = ""


LIBRARIES = (
    Library("numpy", "numpy>=1.23", (1, 23)),
    Library("scipy", "scipy>=1.9", (1, 9)),
    # OpenCV 5 breaks the cv_bridge of every distribution.
    Library("cv2", "opencv-python-headless>=4.6,<5", (4, 6), (5,)),
    Library("torch", "torch>=2.1", (2, 1)),
    Library("safetensors", "safetensors>=0.4", (0, 4)),
    Library("yaml", "PyYAML>=6", (6,)),
    Library("av", "av>=12", (12,)),
    Library("rosbags", "rosbags>=0.10", ()),
    Library("matplotlib", "matplotlib>=3.6", (3, 6)),
    Library("lightning", "lightning>=2.2", (2, 2), optional="`depth_motion train`"),
)


def check_python(
    environment: Mapping[str, str],
    version: Version = sys.version_info[:3],
    executable: str = sys.executable,
) -> Finding:
    """The interpreter against the ROS 2 that is sourced, or the one that PyPI has."""
    text = ".".join(map(str, version))
    distro = environment.get("ROS_DISTRO", "")
    if version[:2] < OLDEST:
        return problem(
            f"Python {text} ({executable}) is older than 3.10",
            "python3.12 -m venv .venv && .venv/bin/pip install 'depth_motion_ros[ros,cpu]'",
        )
    needed = PYTHON_OF_DISTRO.get(distro)
    if needed is not None and version[:2] != needed:
        wanted = ".".join(map(str, needed))
        return problem(
            f"Python {text} ({executable}), but the rclpy of ROS 2 {distro} is built for {wanted}",
            f"make the environment with the system's Python: python{wanted} -m venv "
            "--system-site-packages .venv",
        )
    if not distro and not ROS_WHEELS[0] <= version[:2] <= ROS_WHEELS[1]:
        return warning(
            f"Python {text}: without a sourced ROS 2 there are wheels of rclpy for 3.11 to 3.13 "
            "only",
            "use Python 3.12, or source a ROS 2: . /opt/ros/DISTRO/setup.bash",
        )
    return ok(f"Python {text} ({executable}), ROS 2 {distro or 'not sourced: wheels from PyPI'}")


def check_library(
    library: Library, load: Callable[[str], object] = importlib.import_module
) -> Finding:
    """Import it and compare its version."""
    pip = f"{sys.executable} -m pip install '{library.requirement}'"
    try:
        module = load(library.module)
    except ImportError as error:
        if library.optional:
            return ok(f"{library.module} is not installed: {library.optional} needs it ({pip})")
        return problem(f"{library.module} cannot be imported: {error}", pip)
    # A binary that does not fit NumPy, or lacks a system library, fails in other ways.
    except Exception as error:
        return problem(f"{library.module} fails to load: {error!r}", f"{pip} --force-reinstall")
    text = str(getattr(module, "__version__", ""))
    found = parse_version(text)
    too_new = library.below is not None and found >= library.below
    if library.minimum and found and (found < library.minimum or too_new):
        return problem(f"{library.module} {text}: {library.requirement} is needed", pip)
    return ok(f"{library.module} {text}".rstrip())


def parse_version(text: str) -> Version:
    """The leading numbers: ``2.13.0+cpu`` → (2, 13, 0)."""
    numbers = []
    for part in text.split("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def check_cv_bridge(
    run: Run | None = None,
    is_there: Callable[[], bool] = lambda: importlib.util.find_spec("cv_bridge") is not None,
) -> Finding:
    """Ours is the decoding of all usual encodings; cv_bridge serves the unusual ones alone.

    It is imported in a process of its own, because one built for NumPy 1 may crash under NumPy 2.
    """
    if not is_there():
        return ok("cv_bridge is not installed, and not needed for the usual encodings")
    done = (run or run_quietly)([sys.executable, "-c", "import cv_bridge"])
    if done.returncode == 0:
        return ok("cv_bridge can be imported")
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    return warning(
        f"cv_bridge cannot be imported ({last}): unusual encodings will be refused, the usual "
        "ones are decoded without it",
        f"{sys.executable} -m pip install 'numpy<2' (the apt cv_bridge of Humble and Jazzy is "
        "built for NumPy 1), or leave it so",
    )


def check_leaks(environment: Mapping[str, str], version: Version = sys.version_info[:2]) -> Finding:
    """A sourced workspace leaks its packages, built for one Python, into every other."""
    own = f"python{version[0]}.{version[1]}"
    foreign = [
        path
        for path in environment.get("PYTHONPATH", "").split(":")
        if "/python3." in path and f"/{own}/" not in f"{path}/"
    ]
    if foreign:
        return problem(
            f"PYTHONPATH leads to packages of another Python than {own}: {foreign[0]}",
            "unset PYTHONPATH, or use the Python for which the sourced workspace was built",
        )
    return ok("PYTHONPATH leads to no other Python's packages")


def run_quietly(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=IMPORT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {IMPORT_S} s")
