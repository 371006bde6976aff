"""Rates, latencies and counts of a recorded demo."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from depth_motion_ros.cli.demo.recording import DIAGNOSTICS, IMAGE, ODOMETRY, OUTPUTS, DemoRecording

# An image that arrives this long after its stamp was not stamped "now": its clock is another.
SAME_CLOCK_S = 5.0
PERCENTILES = (50, 90, 95, 99)


def summarise(recording: DemoRecording) -> dict[str, Any]:
    """JSON-ready: counts of frames, rates, latencies, and what the node said of itself."""
    images = recording.received.get(IMAGE, {})
    served = recording.received.get(ODOMETRY, {})
    said = node_status(recording)
    return {
        "frames": {
            "recorded": len(images),
            "in": _count(said, "received"),
            "served": _count(said, "served"),
            "dropped": _count(said, "dropped"),
            "served_and_recorded": len(served.keys() & images.keys()),
        },
        "rates_hz": {
            topic: rate(list(times.values())) for topic, times in sorted(recording.received.items())
        },
        "latency_ms": {
            "measured_from": "stamp" if _stamped_now(images) else "receipt of the image",
            **{topic: latency(recording, topic) for topic in OUTPUTS},
        },
        "node": said,
        "machine": machine(),
    }


def rate(times: list[int]) -> float | None:
    """Messages a second, from times of receipt in ns; None below two messages."""
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return round((len(times) - 1) * 1e9 / (times[-1] - times[0]), 2)


def percentiles(
    values: Sequence[float], percents: Sequence[int] = (50, 95), digits: int = 2
) -> dict[str, float]:
    """``p50`` and so on, and ``max``, rounded; empty without values."""
    if not len(values):
        return {}
    found = {f"p{p}": float(np.percentile(values, p)) for p in percents}
    return {name: round(value, digits) for name, value in {**found, "max": max(values)}.items()}


def latency(recording: DemoRecording, topic: str) -> dict[str, float] | None:
    """Percentiles, in ms, of the time from image to output; None without a pair of the two.

    Counted from the stamp where the camera stamps with the clock of this machine, else from the
    moment the recorder itself received the image.
    """
    images = recording.received.get(IMAGE, {})
    outputs = recording.received.get(topic, {})
    now = _stamped_now(images)
    delays = [
        (time - (stamp if now else images[stamp])) * 1e-6
        for stamp, time in outputs.items()
        if stamp in images
    ]
    if not delays:
        return None
    return {**percentiles(delays, PERCENTILES), "count": len(delays)}


def _stamped_now(images: dict[int, int]) -> bool:
    if not images:
        return False
    delays = [(time - stamp) * 1e-9 for stamp, time in images.items()]
    return abs(float(np.median(delays))) < SAME_CLOCK_S


def node_status(recording: DemoRecording) -> dict[str, str]:
    """The key-value pairs of the node's last diagnostics, with its level's message."""
    message = recording.last(DIAGNOSTICS)
    if message is None or not message.status:
        return {}
    status = message.status[0]
    return {"message": status.message, **{pair.key: pair.value for pair in status.values}}


def _count(said: dict[str, str], key: str) -> int | None:
    return int(said[key]) if key in said else None


def machine() -> dict[str, Any]:
    """Where the figures were taken."""
    versions = {}
    for name in ("depth_motion_ros", "torch", "openvino", "onnxruntime", "ros-rclpy", "numpy"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed by pip"
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "ros_distro": os.environ.get("ROS_DISTRO", "wheels from PyPI"),
        "versions": versions,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
