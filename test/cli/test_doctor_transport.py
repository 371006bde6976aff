"""``depth_motion doctor`` on middleware, profile, allocator, shared memory and kernel buffers."""

from __future__ import annotations

import fcntl
import re
from pathlib import Path

import pytest

from depth_motion_ros.cli.doctor import transport as doctor
from depth_motion_ros.cli.doctor.processes import (
    Process,
    abandoned_segments,
    dds_processes,
    segments_in,
)
from depth_motion_ros.share import ALLOCATOR, PROFILE, config_file

OURS = str(config_file("fastdds_profile.xml"))
# As read from /proc/self/maps: Fast DDS 3 with its defaults, and under our profile.
DEFAULT_SEGMENT, OUR_SEGMENT = 552_960, 70_258_688
MAPS = """\
7f0000000000-7f0000087000 rw-s 00000000 00:1a 5 /dev/shm/fastdds_8c4e47a2266bea0f
7f0000087000-7f0000094000 rw-s 00000000 00:1a 6 /dev/shm/fastdds_port7000
7f00000a0000-7f00000a1000 rw-s 00000000 00:1a 7 /dev/shm/lttng-ust-wait-6
7f00000b0000-7f00000b1000 r-xp 00000000 00:1a 8 /usr/lib/libfastrtps.so
"""


@pytest.mark.parametrize(
    ("rmw", "level"), [("rmw_fastrtps_cpp", "ok"), ("rmw_cyclonedds_cpp", "warning")]
)
def test_another_middleware_than_the_measured_one_is_told(rmw: str, level: str) -> None:
    assert doctor.check_middleware({"RMW_IMPLEMENTATION": rmw}, rmw).level == level


@pytest.mark.parametrize(
    ("environment", "level", "words"),
    [
        ({}, "ok", "domain 0"),
        ({"ROS_DOMAIN_ID": "42"}, "ok", "domain 42"),
        ({"ROS_DOMAIN_ID": "150"}, "warning", "kernel"),
        ({"ROS_DOMAIN_ID": "300"}, "problem", "300"),
        ({"ROS_DOMAIN_ID": "mine"}, "problem", "mine"),
        ({"ROS_LOCALHOST_ONLY": "1"}, "ok", "nothing is seen from other computers"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, "ok", "nothing is seen"),
    ],
)
def test_domain_and_range_are_told(environment: dict[str, str], level: str, words: str) -> None:
    finding = doctor.check_discovery(environment)
    assert finding.level == level
    assert words in finding.what


def test_a_shell_without_the_profile_gets_the_export_for_it() -> None:
    finding = doctor.check_profile({})
    assert finding.level == "warning"
    assert finding.fix == f"export {PROFILE}={OURS}"
    old = doctor.check_profile({"ROS_DISTRO": "humble"})
    assert old.fix == f"export FASTRTPS_DEFAULT_PROFILES_FILE={OURS}"
    assert doctor.check_profile({PROFILE: OURS}).level == "ok"


def test_a_profile_that_is_missing_damaged_or_too_small_is_told(tmp_path: Path) -> None:
    path = tmp_path / "profile.xml"
    missing = doctor.check_profile({PROFILE: str(path)})
    assert missing.level == "problem"
    assert "No such file" in missing.what
    path.write_text("<dds><profiles>")
    assert doctor.check_profile({PROFILE: str(path)}).level == "problem"
    path.write_text("<dds><segment_size>524288</segment_size></dds>")
    small = doctor.check_profile({PROFILE: str(path)})
    assert small.level == "warning"
    assert "0.524288 MB" in small.what


def test_what_was_mapped_shows_whether_the_profile_is_in_force() -> None:
    def check(size: int) -> str:
        finding = doctor.check_profile_in_force(size, "rmw_fastrtps_cpp")
        assert finding is not None
        return finding.level

    assert check(OUR_SEGMENT) == "ok"
    assert check(DEFAULT_SEGMENT) == "problem"
    assert check(0) == "problem"
    assert doctor.check_profile_in_force(0, "rmw_zenoh_cpp") is None


def test_the_allocator_settings_are_told_with_their_values() -> None:
    assert doctor.check_allocator(ALLOCATOR).level == "ok"
    finding = doctor.check_allocator({"MALLOC_MMAP_THRESHOLD_": "1"})
    assert finding.fix == "export MALLOC_TRIM_THRESHOLD_=1073741824"


def test_segments_are_read_from_the_memory_map() -> None:
    assert list(segments_in(MAPS)) == [DEFAULT_SEGMENT]


def test_running_processes_are_found_by_what_they_map(tmp_path: Path) -> None:
    for pid, maps in (("7", MAPS), ("8", ""), ("9", MAPS)):
        folder = tmp_path / pid
        folder.mkdir()
        (folder / "maps").write_text(maps)
        (folder / "cmdline").write_bytes(b"/usr/bin/python3\0-u\0/ws/lib/usb_cam/cam_node\0--x\0")
        (folder / "environ").write_bytes(b"A=1\0B=2=3\0")
    (tmp_path / "self").mkdir()
    (tmp_path / "10").mkdir()  # has ended between the listing and the look
    found = dds_processes(tmp_path, skip=frozenset({9}))
    assert found == [Process(7, "cam_node", {"A": "1", "B": "2=3"}, DEFAULT_SEGMENT)]


@pytest.mark.parametrize(
    ("environment", "segment", "level", "words"),
    [
        ({PROFILE: OURS, **ALLOCATOR}, OUR_SEGMENT, "ok", "runs with profile"),
        ({}, DEFAULT_SEGMENT, "warning", "without a Fast DDS profile"),
        ({PROFILE: "/gone", **ALLOCATOR}, DEFAULT_SEGMENT, "warning", "maps only 0.6 MB"),
        ({PROFILE: OURS}, OUR_SEGMENT, "warning", "MALLOC_MMAP_THRESHOLD_"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA", **ALLOCATOR}, DEFAULT_SEGMENT, "ok", ""),
    ],
)
def test_a_process_that_runs_already_is_judged_by_how_it_was_started(
    environment: dict[str, str], segment: int, level: str, words: str
) -> None:
    finding = doctor.check_running(Process(7, "cam_node", environment, segment))
    assert finding.level == level
    assert "cam_node (pid 7)" in finding.what
    assert words in finding.what


def test_the_shared_memory_of_a_container_is_too_small(tmp_path: Path) -> None:
    def has(megabytes: int) -> str:
        free = megabytes * 1_000_000
        usage = lambda _: (free, 0, free)  # noqa: E731
        return doctor.check_shared_memory(tmp_path, usage, lambda _: True).level

    # Docker's default is 64 MB.
    assert (has(64), has(2000)) == ("warning", "ok")
    assert doctor.check_shared_memory(tmp_path / "none").level == "problem"
    locked = doctor.check_shared_memory(tmp_path, writable=lambda _: False)
    assert "--ipc=host" in locked.fix


def segment(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    path.write_bytes(bytes(size))
    return path


def test_a_segment_is_abandoned_when_nobody_holds_its_lock(tmp_path: Path) -> None:
    killed = segment(tmp_path, "fastdds_0123456789abcdef", 8192)
    segment(tmp_path, "fastdds_0123456789abcdef_el", 0)
    segment(tmp_path, "fastdds_fedcba9876543210", 8192)
    segment(tmp_path, "fastdds_port7000", 8192)
    with segment(tmp_path, "fastdds_fedcba9876543210_el", 0).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert abandoned_segments(tmp_path) == [killed]
    assert len(abandoned_segments(tmp_path)) == 2
    assert abandoned_segments(tmp_path / "none") == []


def test_memory_that_killed_processes_hold_is_told_with_the_command(tmp_path: Path) -> None:
    parts = [segment(tmp_path, name, 1_000_000) for name in ("a", "b", "c")]
    assert doctor.check_abandoned(tmp_path, lambda _: parts) is None
    many = parts * 100
    found = doctor.check_abandoned(tmp_path, lambda _: many)
    assert found is not None
    assert found.level == "warning"
    assert re.search(r"30\d MB of Fast DDS processes that were killed", found.what)
    assert "fastdds shm clean" in found.fix


def test_kernel_buffers_are_read_and_the_command_given(tmp_path: Path) -> None:
    assert doctor.check_kernel_buffers(tmp_path) == []  # hidden from a container
    (tmp_path / "core").mkdir()
    (tmp_path / "ipv4").mkdir()
    # The kernel's defaults.
    (tmp_path / "core" / "rmem_max").write_text("212992\n")
    (tmp_path / "ipv4" / "ipfrag_high_thresh").write_text("134217728\n")
    small, large = doctor.check_kernel_buffers(tmp_path)
    assert small.level == "warning"
    assert "sudo sysctl -w net.core.rmem_max=" in small.fix
    assert large.level == "ok"
