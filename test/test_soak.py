"""``depth_motion soak``: what it measures, how it judges, and a short one for real."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from depth_motion_ros.cli import soak
from depth_motion_ros.cli.process_vitals import Vitals, read_vitals
from depth_motion_ros.cli.soak_report import HEADING, PhaseResult, Verdict, judge, row

MS = 1_000_000
PERIOD = 100 * MS
SAMPLES = 400  # enough to judge the 99th percentile


def result(cycle: int, memory: float = 500e6, late: float = 30.0, **changes: object) -> PhaseResult:
    """A phase of 400 images at 10 Hz of which every fourth was dropped."""
    published = [PERIOD * index for index in range(SAMPLES)]
    served = [stamp for index, stamp in enumerate(published) if index % 4 != 1]
    made = PhaseResult(
        "steady", cycle,
        counts={"depth/image": len(served), "camera_info": SAMPLES},
        latency_ms=[late] * SAMPLES, published=published, served=served,
        before={"received": "100", "served": "100", "dropped": "0"},
        after={"received": str(100 + SAMPLES), "served": str(100 + len(served)),
               "dropped": str(SAMPLES - len(served)),
               "dropped/busy": str(SAMPLES - len(served))},
        vitals=[Vitals(int(memory), 19, 23)] * 5,
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def verdicts(*results: PhaseResult) -> dict[str, Verdict]:
    return {verdict.what: verdict for verdict in judge(list(results))}


def test_a_healthy_run_passes_every_verdict() -> None:
    found = verdicts(result(1, memory=300e6, late=90.0), result(2), result(3, memory=505e6))
    assert {name: verdict.good for name, verdict in found.items()} == dict.fromkeys(found, True)
    assert "+1.0%" in found["memory flat"].detail


def test_growth_after_the_warm_up_fails() -> None:
    found = verdicts(
        result(1), result(2),
        result(3, memory=515e6, late=60.0, vitals=[Vitals(515_000_000, 20, 24)] * 5),
    )  # fmt: skip
    for name in ("memory flat", "threads flat", "files flat", "latency flat"):
        assert found[name].good is False, name
    assert found["no missed stamp"].good


def test_a_short_run_judges_no_growth() -> None:
    found = verdicts(result(1), result(2, memory=900e6))
    assert found["memory flat"].good is None
    assert found["latency flat"].good is None


def test_an_image_that_nobody_accounts_for_is_missed() -> None:
    lost = result(1)
    lost.served.remove(lost.served[10])
    lost.counts["depth/image"] -= 1
    lost.after["served"] = str(int(lost.after["served"]) - 1)
    lost.after["received"] = str(int(lost.after["received"]) - 1)
    found = verdicts(lost)["no missed stamp"]
    assert not found.good
    assert "1 of 400 images got lost" in found.detail


def test_a_depth_map_that_does_not_arrive_is_missed() -> None:
    short = result(1)
    short.counts["depth/image"] -= 2
    found = verdicts(short)["no missed stamp"]
    assert "300 depth maps made, 298 arrived" in found.detail


def test_a_frame_that_the_node_forgot_is_missed() -> None:
    forgot = result(1)
    forgot.after["received"] = "507"
    assert "407 received, 400 accounted for" in verdicts(forgot)["no missed stamp"].detail


def test_images_before_the_subscribers_were_connected_are_not_missed() -> None:
    early = result(1)
    early.published = [-3 * PERIOD, -2 * PERIOD, -PERIOD, *early.published]
    assert verdicts(early)["no missed stamp"].good


def test_a_stamp_that_falls_is_told() -> None:
    assert not verdicts(result(1, backwards=1))["stamps rise"].good


def test_the_row_fits_the_heading_and_the_summary_names_the_causes() -> None:
    made = result(2)
    assert len(row(made)) == len(HEADING)
    summary = made.summary()
    assert summary["causes"] == {"dropped/busy": 100}
    assert (summary["served"], summary["dropped"]) == (300, 100)
    # 300 depth maps from the first image to the last but none of the dropped: 399 periods.
    assert summary["rate_hz"] == pytest.approx(299 / 39.9, abs=0.01)
    assert summary["latency_ms"] == {"p50": 30.0, "p90": 30.0, "p99": 30.0}


@pytest.mark.parametrize(
    ("minutes", "cycles", "seconds"), [(60.0, 15, 60.0), (2.0, 3, 10.0), (0.2, 3, 1.0)]
)
def test_the_time_is_split_into_at_least_three_cycles(
    minutes: float, cycles: int, seconds: float
) -> None:
    assert soak.schedule(minutes) == (cycles, pytest.approx(seconds))


def test_vitals_are_those_of_the_process(tmp_path: Path) -> None:
    before = read_vitals(os.getpid())
    assert before is not None
    assert before.memory > 10e6  # an interpreter with numpy
    with (tmp_path / "open").open("w"):
        after = read_vitals(os.getpid())
    assert after is not None
    assert after.files == before.files + 1
    assert after.threads >= 1
    # A process that has ended but was not waited for has no memory.
    (tmp_path / "7" / "fd").mkdir(parents=True)
    (tmp_path / "7" / "status").write_text("Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n")
    assert read_vitals(7, tmp_path) is None
    assert read_vitals(8, tmp_path) is None


def test_two_loads_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Camera and node over DDS: what was published is all accounted for."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    monkeypatch.setattr(soak, "SCENE_FRAMES", 6)
    phases = (
        soak.Phase("depth", 10.0, (96, 64), ("depth/image",)),
        soak.Phase("nobody", 10.0, (96, 64), ()),
    )
    network = {"engine": "torch", "input_width": 64, "input_height": 32}
    lines: list[str] = []
    heard, unheard = soak.soak(network, 1, 2.0, tmp_path, lines.append, phases)
    assert heard.delta("served") >= 10  # 2 s at 10 Hz, on a busy machine
    assert heard.counts["depth/image"] == heard.delta("served")
    assert min(heard.latency_ms) > 0
    assert heard.memory > 100e6  # PyTorch alone
    assert unheard.delta("served") == 0
    assert unheard.delta("unwanted") >= 10
    found = {verdict.what: verdict for verdict in judge([heard, unheard])}
    assert found["no missed stamp"].good, found["no missed stamp"].detail
    assert found["stamps rise"].good
    assert len(lines) == 4  # where, heading, two phases
