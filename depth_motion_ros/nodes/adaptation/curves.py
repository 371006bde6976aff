"""Curves of the learner for TensorBoard, which is an optional dependency."""

from __future__ import annotations

from pathlib import Path

from depth_motion_ros.adaptation.adapter import AdaptationStatus, StepReport
from depth_motion_ros.nodes.ros.parameters import ParameterError

_FLUSH_S = 10


class LearningCurves:
    """Writes into a folder. Raises ParameterError at construction without tensorboard."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ParameterError(
                f"the parameter tensorboard needs the package ({error}): pip install tensorboard, "
                "or leave the parameter empty"
            ) from error
        self._writer = SummaryWriter(str(folder), flush_secs=_FLUSH_S)  # type: ignore[no-untyped-call]

    def add_step(self, report: StepReport) -> None:
        values = {"step/loss": report.loss, "step/live_loss": report.live_loss}
        values["step/gradient_norm"] = report.gradient_norm
        values.update({f"step/terms/{name}": term for name, term in report.terms.items()})
        self._add(values, report.step)

    def add_status(self, status: AdaptationStatus) -> None:
        """At the status's own step."""
        values: dict[str, float] = {
            f"count/{name}": getattr(status, name)
            for name in ("frames", "admitted", "candidates", "released", "rolled_back", "failures")
        }
        values["cpu_fraction"] = status.cpu_fraction
        values.update({f"refused/{reason}": n for reason, n in status.refused.items()})
        values.update({f"candidate/{name}": loss for name, loss in status.losses.items()})
        self._add(values, status.steps)

    def _add(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]
