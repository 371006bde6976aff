"""What lies beside the code: launch files and configuration, and the environment they call for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PACKAGE = "depth_motion_ros"

# Frames are freed and allocated at the camera's rate; glibc's defaults hand each one back to the
# kernel, which costs two thirds of the latency of a 1280x720 image.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}
# Fast DDS 3 warns of the name that Fast DDS 2, in these distributions, alone understands.
PROFILE, OLD_PROFILE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
WITH_FAST_DDS_2 = ("humble", "iron", "jazzy")


# The nodes by the name of their executable, and the module that runs each.
NODE_MODULES = {
    "depth_motion_node": f"{PACKAGE}.nodes.perception.node",
    "camera_node": f"{PACKAGE}.nodes.camera.node",
    "adaptation_node": f"{PACKAGE}.nodes.adaptation.node",
}


class MissingShareError(RuntimeError):
    """A file that the package installs beside its code is not there."""


def share_directory() -> Path:
    """The folder with ``launch/`` and ``config/``.

    In a checkout (or an editable or symlinked install) that is the repository's root; elsewhere
    ``share/depth_motion_ros`` of the prefix in which this module was installed, whether pip or
    colcon put it there.

    Raises MissingShareError where neither exists.
    """
    module = Path(__file__).resolve()
    checkout = module.parents[1]
    if (checkout / "package.xml").is_file() and (checkout / "config").is_dir():
        return checkout
    for prefix in module.parents[1:6]:
        candidate = prefix / "share" / PACKAGE
        if (candidate / "config").is_dir():
            return candidate
    raise MissingShareError(
        f"no share/{PACKAGE} above {module.parent}: the package was copied, not installed; "
        f"install it with `pip install .` or `colcon build`"
    )


def config_file(name: str) -> Path:
    """Path of a file of ``config/``. Raises MissingShareError naming those that exist."""
    folder = share_directory() / "config"
    path = folder / name
    if not path.is_file():
        there = ", ".join(sorted(entry.name for entry in folder.iterdir()))
        raise MissingShareError(f"no configuration file {name!r} in {folder}; there are: {there}")
    return path


def transport_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to add to ``environment`` so that large images arrive between processes.

    What the user has set already is left alone: a profile of their own wins over ours.
    """
    additions = {name: value for name, value in ALLOCATOR.items() if name not in environment}
    if PROFILE not in environment and OLD_PROFILE not in environment:
        old = environment.get("ROS_DISTRO") in WITH_FAST_DDS_2
        additions[OLD_PROFILE if old else PROFILE] = str(config_file("fastdds_profile.xml"))
    return additions
