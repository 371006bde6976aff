"""Do large images get through: middleware, Fast DDS profile, allocator, shared memory, buffers."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from depth_motion_ros.cli.doctor.finding import Finding, ok, problem, warning
from depth_motion_ros.cli.doctor.processes import Process, abandoned_segments
from depth_motion_ros.share import ALLOCATOR, OLD_PROFILE, PROFILE, transport_environment

FAST_DDS = "rmw_fastrtps"
# A frame of 1280x720 rgb8 is 2.8 MB; Fast DDS's own segment of 0.5 MB loses even 640x480.
LARGE_SEGMENT = 8_000_000
# One segment of 64 MB for each process, and as much again for those that come and go.
SHARED_MEMORY = 512_000_000
# Less than what three killed processes leave is not worth a word.
ABANDONED = 200_000_000
# What a burst of one 1280x720 image from another computer needs, rounded up.
RECEIVE_BUFFER = 4_000_000
FRAGMENTS = 16_000_000
SYSCTL = Path("/proc/sys/net")


def check_middleware(environment: Mapping[str, str], in_use: str) -> Finding:
    """in_use: what rclpy says that it uses."""
    if in_use.startswith(FAST_DDS):
        return ok(f"middleware {in_use}")
    asked = environment.get("RMW_IMPLEMENTATION", "")
    return warning(
        f"middleware {in_use}{' as RMW_IMPLEMENTATION asks' if asked else ''}: the transport "
        "profile of this package is for Fast DDS, and nothing here was measured with another",
        "use one middleware in all processes; to use Fast DDS: unset RMW_IMPLEMENTATION",
    )


def check_discovery(environment: Mapping[str, str]) -> Finding:
    """Domain and range: the usual reasons why two processes never see each other."""
    domain = environment.get("ROS_DOMAIN_ID", "0") or "0"
    if not domain.isdigit() or int(domain) > 232:
        return problem(
            f"ROS_DOMAIN_ID={domain!r} is no domain", "export ROS_DOMAIN_ID=0 (0 to 101)"
        )
    if int(domain) > 101:
        return warning(
            f"ROS_DOMAIN_ID={domain}: its ports lie among those that the kernel gives away",
            "export ROS_DOMAIN_ID=0 (0 to 101)",
        )
    span = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    alone = environment.get("ROS_LOCALHOST_ONLY", "") == "1"
    if alone or span.upper() in ("LOCALHOST", "OFF"):
        name = "ROS_LOCALHOST_ONLY=1" if alone else f"ROS_AUTOMATIC_DISCOVERY_RANGE={span}"
        return ok(f"domain {domain}; {name}: nothing is seen from other computers")
    return ok(f"domain {domain}; other computers are searched for too")


def check_profile(environment: Mapping[str, str]) -> Finding:
    """The Fast DDS profile under which nodes that are started from this shell would run."""
    name = PROFILE if PROFILE in environment else OLD_PROFILE
    value = environment.get(name, "")
    added = transport_environment(environment)
    if not value:
        [(name, value)] = [(k, v) for k, v in added.items() if k in (PROFILE, OLD_PROFILE)]
        return warning(
            "this shell sets no Fast DDS profile: what is started from it by `ros2 run` loses "
            "images larger than 0.5 MB when they are best effort (our launch files set it)",
            f"export {name}={value}",
        )
    path = Path(value)
    try:
        tree = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError) as error:
        return problem(f"{name}={value} cannot be read: {error}", f"unset {name}")
    sizes = [int(node.text or 0) for node in tree.iter() if node.tag.endswith("segment_size")]
    if max(sizes, default=0) < LARGE_SEGMENT:
        largest = f"{max(sizes) / 1e6:g} MB" if sizes else "not set"
        return warning(
            f"the segment_size in {value} is {largest}: large images are lost",
            "set it to 67108864 in the SHM transport, as config/fastdds_profile.xml does",
        )
    if name == OLD_PROFILE and environment.get("ROS_DISTRO") == "lyrical":
        return warning(f"{name} is the name of Fast DDS 2", f"export {PROFILE}={value}")
    return ok(f"{name}={value}")


def check_profile_in_force(segment_bytes: int, in_use: str) -> Finding | None:
    """segment_bytes: of the shared memory that a process under the profile really mapped.

    None where the middleware is another.
    """
    if not in_use.startswith(FAST_DDS):
        return None
    if segment_bytes >= LARGE_SEGMENT:
        return ok(
            f"the profile is in force: a process under it maps {segment_bytes / 1e6:.0f} MB of "
            "shared memory"
        )
    if segment_bytes:
        what = f"only {segment_bytes / 1e6:.1f} MB of shared memory"
    else:
        what = "no shared memory at all"
    return problem(
        f"the profile is not in force: a process under it maps {what}",
        "check the file it names and the space in /dev/shm (docker run --ipc=host)",
    )


def check_allocator(environment: Mapping[str, str]) -> Finding:
    """What glibc's malloc does with the memory of a frame."""
    missing = {name: value for name, value in ALLOCATOR.items() if name not in environment}
    if missing:
        exports = " ".join(f"{name}={value}" for name, value in missing.items())
        return warning(
            f"this shell does not set {', '.join(missing)}: every large image costs its memory "
            "anew (our launch files set it)",
            f"export {exports}",
        )
    return ok("malloc keeps the memory of large images")


def check_running(process: Process) -> Finding:
    """One process that runs already and talks through Fast DDS."""
    name = f"{process.name} (pid {process.pid})"
    restart = "restart it from a shell with the exports above, or by our launch files"
    large = process.environment.get("FASTDDS_BUILTIN_TRANSPORTS") == "LARGE_DATA"
    if not large and not {PROFILE, OLD_PROFILE} & process.environment.keys():
        return warning(f"{name} runs without a Fast DDS profile: it loses large images", restart)
    if process.segment_bytes < LARGE_SEGMENT and not large:
        return warning(
            f"{name} has a profile, but maps only {process.segment_bytes / 1e6:.1f} MB of shared "
            "memory",
            f"check the profile it names; then {restart}",
        )
    if not ALLOCATOR.keys() <= process.environment.keys():
        return warning(f"{name} runs without {', '.join(ALLOCATOR)}", restart)
    return ok(f"{name} runs with profile and allocator settings")


def check_shared_memory(
    folder: Path = Path("/dev/shm"),
    usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
    writable: Callable[[Path], bool] = lambda path: os.access(path, os.W_OK),
) -> Finding:
    """Docker gives a container 64 MB, which one process of ours fills."""
    if not folder.is_dir() or not writable(folder):
        return problem(
            f"{folder} cannot be written: Fast DDS falls back to UDP, which loses large images",
            "mount a tmpfs there; in a container: docker run --ipc=host, or --shm-size=1g",
        )
    total, _, free = usage(folder)
    if free < SHARED_MEMORY:
        return warning(
            f"{folder} has {free / 1e6:.0f} MB free of {total / 1e6:.0f} MB; each process takes "
            "about 70 MB",
            "docker run --ipc=host, or --shm-size=1g; without a container: "
            "sudo mount -o remount,size=1G /dev/shm",
        )
    return ok(f"{folder} has {free / 1e6:.0f} MB free")


def check_abandoned(
    folder: Path = Path("/dev/shm"),
    abandoned: Callable[[Path], list[Path]] = abandoned_segments,
) -> Finding | None:
    """What killed processes have left there; None where it is not worth a word."""
    left = 0
    for path in abandoned(folder):
        with contextlib.suppress(OSError):
            # Of a segment that was never full, less is there than its size says.
            left += path.stat().st_blocks * 512
    if left < ABANDONED:
        return None
    return warning(
        f"{folder} holds {left / 1e6:.0f} MB of Fast DDS processes that were killed: it is memory "
        "that nobody gives back",
        f"fastdds shm clean; where there is no such command, stop all ROS nodes, then: "
        f"rm {folder}/fastdds_* {folder}/fastrtps_*",
    )


def check_kernel_buffers(root: Path = SYSCTL) -> list[Finding]:
    """Only images from another computer go through these; on one computer it is shared memory."""
    wanted = (
        ("core/rmem_max", RECEIVE_BUFFER, 67108864),
        ("ipv4/ipfrag_high_thresh", FRAGMENTS, 134217728),
    )
    findings = []
    for name, enough, value in wanted:
        key = f"net.{name.replace('/', '.')}"
        try:
            found = int((root / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            # A container may hide it; then it is the host's to set.
            continue
        if found < enough:
            findings.append(
                warning(
                    f"{key} = {found}: raw images from another computer may be lost",
                    f"sudo sysctl -w {key}={value} (and in /etc/sysctl.d), or send JPEG: "
                    "image_transport:=compressed",
                )
            )
        else:
            findings.append(ok(f"{key} = {found}"))
    return findings
