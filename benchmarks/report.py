"""What benchmarks print and write: tables, verdicts, and JSON with the machine it was taken on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from depth_motion_ros.cli.demo.statistics import machine
from depth_motion_ros.evaluation.report import write_json


@dataclass(frozen=True)
class Verdict:
    """An answer to what a benchmark asks. good: None where it could not be told."""

    what: str
    good: bool | None
    detail: str


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table with aligned columns: the first to the left, the others to the right."""
    cells = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(headings))]
    cells.insert(1, ["-" * width for width in widths])
    lines = []
    for row in cells:
        first, *rest = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("| " + " | ".join((first, *rest)) + " |")
    return "\n".join(lines)


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """A row for each verdict."""
    words = {True: "yes", False: "**no**", None: "–"}
    return table(("asked", "answer", ""), [(v.what, words[v.good], v.detail) for v in verdicts])


def number(value: float | None, form: str = ".1f") -> str:
    """A cell; a dash for None and NaN."""
    return "–" if value is None or value != value else format(value, form)


def all_good(verdicts: Iterable[Verdict]) -> bool:
    """What is not known is not held against anybody."""
    return all(verdict.good is not False for verdict in verdicts)


def computer(device: torch.device | str = "cpu") -> dict[str, Any]:
    """The machine, what it is busy with, and what PyTorch uses of it."""
    device = torch.device(device)
    return {
        **machine(),
        "load_average": os.getloadavg()[0],
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def computer_text(found: dict[str, Any]) -> str:
    """``computer`` in a line."""
    return (
        f"{found['gpu'] or found['processor']}, {found['cores']} cores, {found['threads']} threads "
        f"of PyTorch {found['versions']['torch']}, load average {found['load_average']:.1f}"
    )


def write(path: Path | None, content: dict[str, Any], device: torch.device | str = "cpu") -> None:
    """Write JSON with the machine; nothing without a path."""
    if path is not None:
        write_json(path, {"machine": computer(device), **content})
