"""The node's own word on how it is: level, sentence and values of its diagnostics."""

from __future__ import annotations

import math
import time
from dataclasses import asdict

from diagnostic_msgs.msg import DiagnosticStatus

from depth_motion_ros.estimation.estimate import Estimate
from depth_motion_ros.estimation.time_line import STANDS_STILL
from depth_motion_ros.models.find import UNTRAINED
from depth_motion_ros.nodes.perception.pipeline import Pipeline
from depth_motion_ros.nodes.ros.diagnostics import FrameCounters

_SILENCE = 2.0  # s without an image, or with none served, that are worth a warning


class StatusWriter:
    """Remembers from one diagnostic to the next what has changed."""

    def __init__(self, counters: FrameCounters) -> None:
        self._counters = counters
        self._received, self._bad, self._done = 0, 0, 0
        self._arrived_at = self._done_at = time.monotonic()

    def write(
        self, state: str, pipeline: Pipeline | None, problem: str
    ) -> tuple[bytes, str, dict[str, str]]:
        """Level, message and values.

        state: of the lifecycle. problem: why the last transition failed, empty if it did not.
        """
        dropped = pipeline.worker.dropped if pipeline is not None else 0
        values = {"state": state, **self._counters.values(dropped)}
        if pipeline is None or state != "active":
            self._done_at = time.monotonic()
            level = DiagnosticStatus.ERROR if problem else DiagnosticStatus.OK
            return level, problem or state, values
        values.update(_engine_values(pipeline))
        values.update(pipeline.weights_inbox.values())
        values.update(_estimate_values(pipeline))
        level, message = self._judge(pipeline, values)
        return level, message, values

    def _judge(self, pipeline: Pipeline, values: dict[str, str]) -> tuple[bytes, str]:
        """The most severe condition; only what happened since the last status counts."""
        received, bad = int(values["received"]), int(values["bad"])
        arrived, new_bad = received != self._received, bad - self._bad
        # Dropped images are none of these: while a frame is stuck, each new one drops another.
        done = int(values["served"]) + int(values["unwanted"])
        now = time.monotonic()
        if arrived:
            self._arrived_at = now
        if done != self._done or not arrived:
            self._done_at = now
        self._received, self._bad, self._done = received, bad, done
        if pipeline.perception.failing:
            return DiagnosticStatus.ERROR, f"the engine fails: {pipeline.perception.failing}"
        if now - self._arrived_at > _SILENCE:
            silence = now - self._arrived_at
            return DiagnosticStatus.WARN, f"no image for {silence:.0f} s on {values['image_topic']}"
        if new_bad:
            return DiagnosticStatus.WARN, f"{new_bad} bad messages since the last diagnostics"
        if now - self._done_at > _SILENCE:
            stuck = now - self._done_at
            return DiagnosticStatus.ERROR, f"images come, but none was served for {stuck:.0f} s"
        if pipeline.perception.mount_problem:
            return DiagnosticStatus.WARN, pipeline.perception.mount_problem
        if values["tracking"] == "lost":
            return DiagnosticStatus.WARN, f"tracking lost: {values['tracking_reason']}"
        if values["tracking_reason"].startswith(STANDS_STILL):
            reason = values["tracking_reason"]
            return DiagnosticStatus.WARN, f"{reason}: the camera must set header.stamp; no odometry"
        if values["weights_version"] == UNTRAINED:
            return DiagnosticStatus.WARN, "the network is untrained: set the parameter weights"
        if pipeline.perception.unscaled:
            return DiagnosticStatus.WARN, pipeline.perception.unscaled
        return DiagnosticStatus.OK, f"tracking {values['tracking']}, {values['rate_hz']} Hz"


def _engine_values(pipeline: Pipeline) -> dict[str, str]:
    described = {key: str(value) for key, value in asdict(pipeline.engine.describe()).items()}
    described["engine"] = described.pop("runtime")
    described["engine_version"] = described.pop("runtime_version")
    described["engine_reason"] = pipeline.engine.why
    return described


def _estimate_values(pipeline: Pipeline) -> dict[str, str]:
    values = pipeline.inputs.values() if pipeline.inputs is not None else {}
    estimate: Estimate | None = pipeline.perception.last
    if estimate is None:
        return {**values, "tracking": "nothing yet", "tracking_reason": "", "metric": "false"}
    quality, scale = estimate.quality, estimate.scale
    return {
        **values,
        "tracking": quality.tracking,
        "tracking_reason": quality.reason,
        "photometric_error": f"{quality.photometric_error:.4f}",
        "moving_fraction": f"{quality.moving_fraction:.4f}",
        "intrinsics": "camera_info" if pipeline.perception.camera_is_given else "learned",
        "scale_source": scale.source,
        "scale": f"{scale.value:.6g}",
        "scale_spread": f"{math.sqrt(scale.variance):.3g}",
        "metric": str(scale.is_metric).lower(),
    }
