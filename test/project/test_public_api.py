"""``from depth_motion_ros import ...``: the small public surface."""

from __future__ import annotations

import subprocess
import sys

import pytest

import depth_motion_ros


@pytest.mark.parametrize("name", depth_motion_ros.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(depth_motion_ros, name).__name__ == name
    assert name in dir(depth_motion_ros)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Estimatr"):
        depth_motion_ros.Estimatr  # noqa: B018
    with pytest.raises(ImportError, match="Estimatr"):
        from depth_motion_ros import Estimatr  # noqa: F401


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, depth_motion_ros\n"
        "heavy = {'torch', 'cv2', 'numpy', 'rclpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
