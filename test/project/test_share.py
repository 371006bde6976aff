"""Configuration is found from a checkout and from both kinds of installation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from depth_motion_ros import share

ROOT = Path(__file__).resolve().parents[2]


def test_a_checkout_is_its_own_share() -> None:
    assert share.share_directory() == ROOT
    assert share.config_file("fastdds_profile.xml") == ROOT / "config" / "fastdds_profile.xml"


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("lib/python3.11/site-packages", "share"),
        ("local/lib/python3.12/dist-packages", "local/share"),
        (".", "share"),
    ],
    ids=["pip and colcon", "Debian", "pip --target"],
)
def test_an_installation_finds_the_share_of_its_prefix(
    code: str, data: str, tmp_path: Path
) -> None:
    package = tmp_path / code / "depth_motion_ros"
    package.mkdir(parents=True)
    shutil.copy(ROOT / "depth_motion_ros/share.py", package)
    (package / "__init__.py").touch()
    config = tmp_path / data / "depth_motion_ros" / "config"
    config.mkdir(parents=True)
    (config / "fastdds_profile.xml").touch()
    ask = (
        "from depth_motion_ros.share import config_file; print(config_file('fastdds_profile.xml'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=tmp_path / code, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()) == config / "fastdds_profile.xml"


def test_a_missing_file_is_named_with_those_that_exist() -> None:
    with pytest.raises(
        share.MissingShareError, match=r"no configuration file 'ham\.yaml'.*fastdds"
    ):
        share.config_file("ham.yaml")


def test_transport_leaves_the_users_own_profile_alone() -> None:
    added = share.transport_environment({"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"})
    assert set(added) == set(share.ALLOCATOR)


@pytest.mark.parametrize(
    ("distribution", "variable"),
    [
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE"),
        ("kilted", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("", "FASTDDS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_each_fast_dds_is_told_by_the_name_it_knows(distribution: str, variable: str) -> None:
    added = share.transport_environment({"ROS_DISTRO": distribution})
    assert Path(added[variable]) == ROOT / "config" / "fastdds_profile.xml"
    assert set(added) == {variable, *share.ALLOCATOR}


def test_one_frame_fits_the_shared_memory_many_times() -> None:
    profile = ElementTree.parse(ROOT / "config" / "fastdds_profile.xml").getroot()
    name = "{http://www.eprosima.com}segment_size"
    sizes = [int(element.text) for element in profile.iter(name)]
    # Below one frame (1280x720 rgb8) they are lost; ten leave room for a slow reader.
    assert min(sizes) > 10 * 1280 * 720 * 3
