"""The soak: what it measures, how it judges, and a short one for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.process import ProcessStatistics
from benchmarks.report import Verdict, verdict_table
from benchmarks.soak import command as soak
from benchmarks.soak import swaps as soak_swaps
from benchmarks.soak.report import PhaseResult, judge
from benchmarks.soak.swaps import Swap
from benchmarks.soak.tables import progress, results_table
from depth_motion_ros.models.weights import Weights

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
        process=[ProcessStatistics(int(memory), 19, 23)] * 5,
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
        result(3, memory=515e6, late=60.0, process=[ProcessStatistics(515_000_000, 20, 24)] * 5),
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


def test_the_summary_names_the_causes() -> None:
    made = result(2)
    assert progress(made).startswith("cycle 2, steady: 400 in, 300 served, 100 dropped, 7.5 Hz")
    summary = made.summary()
    assert summary["causes"] == {"dropped/busy": 100}
    assert (summary["served"], summary["dropped"]) == (300, 100)
    # 300 depth maps from the first image to the last but none of the dropped: 399 periods.
    assert summary["rate_hz"] == pytest.approx(299 / 39.9, abs=0.01)
    assert summary["latency_ms"] == {"p50": 30.0, "p90": 30.0, "p99": 30.0, "max": 30.0}


def swapped(cycle: int, good: bool = True, **changes: object) -> PhaseResult:
    """A phase without a drop in which two swaps were made, of 250 ms each."""
    swaps = [Swap(at, at + 250 * MS, good, "why not") for at in (1000 * MS, 3000 * MS)]
    made = result(
        cycle, served=[PERIOD * index for index in range(SAMPLES)], swaps=swaps, asked_swaps=2,
        after={"received": str(100 + SAMPLES), "served": str(100 + SAMPLES), "dropped": "0"},
        counts={"depth/image": SAMPLES, "camera_info": SAMPLES},
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_swaps_pass_where_each_was_made_and_no_frame_dropped() -> None:
    found = verdicts(swapped(1), swapped(2), swapped(3))["weights swapped"]
    assert found.good
    assert found.detail.startswith("6 of 6 swaps; 1200 frames served, 0 dropped, 0 lost")
    assert "weights swapped" not in verdicts(result(1))


def test_a_swap_that_is_refused_or_missing_or_costs_a_frame_fails() -> None:
    refused = verdicts(swapped(1, good=False))["weights swapped"]
    assert not refused.good
    assert "0 of 2 swaps" in refused.detail
    assert "refused: why not" in refused.detail
    assert not verdicts(swapped(1, asked_swaps=3))["weights swapped"].good
    dropping = swapped(1)
    dropping.after["dropped"] = "1"
    assert not verdicts(dropping)["weights swapped"].good


def test_the_frames_under_way_during_a_swap_are_told_apart() -> None:
    """Frames every 100 ms that take 30: of a swap from 1000 to 1250 ms those at 1000, 1100, 1200;
    one that is late reaches into it from before."""
    made = swapped(1)
    made.latency_ms = [30.0] * SAMPLES
    made.latency_ms[9] = 130.0
    made.swaps = made.swaps[:1]
    during, otherwise = soak_swaps.meanwhile(made.swaps, made.served, made.latency_ms)
    assert during == [130.0, 30.0, 30.0, 30.0]
    assert len(otherwise) == SAMPLES - 4
    said = made.summary()["swaps"]
    assert said["latency_during_ms"]["max"] == 130.0
    assert said["swap_ms"]["p50"] == 250.0
    assert (said["count"], said["refused"]) == (1, [])


@pytest.mark.parametrize(("swaps", "phases"), [(10, 3), (100, 12), (2, 5)])
def test_swaps_are_spread_evenly_and_none_is_left_out(swaps: int, phases: int) -> None:
    shares = [soak_swaps.share(swaps, index, phases) for index in range(phases)]
    assert sum(shares) == swaps
    assert max(shares) - min(shares) <= 1


def cells(text: str, name: str) -> list[str]:
    """Of the row that begins with a name."""
    [row] = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_the_table_is_markdown_with_a_row_for_each_load_and_each_verdict() -> None:
    results = [result(1), result(2), result(3, late=31.0)]
    # 400 in and 100 dropped in each of three cycles; the latency of the second and the last.
    steady = cells(results_table(results), "steady")
    assert steady[:4] == ["1200", "900", "300 (busy 300)", "0"]
    assert "30.0 → 31.0" in steady
    with_swaps = [swapped(cycle) for cycle in (1, 2, 3)]
    text = results_table(with_swaps)
    assert cells(text, "a swap, from request to answer") == ["6", "250", "250", "250", "250"]
    answers = verdict_table(judge(with_swaps))
    assert cells(answers, "weights swapped")[0] == "yes"
    # Every line of a table has as many cells as its head.
    for block in (*text.split("\n\n"), answers):
        assert len({line.count("|") for line in block.strip().splitlines()}) == 1


@pytest.mark.parametrize(
    ("minutes", "cycles", "seconds"), [(60.0, 15, 60.0), (2.0, 3, 10.0), (0.2, 3, 1.0)]
)
def test_the_time_is_split_into_at_least_three_cycles(
    minutes: float, cycles: int, seconds: float
) -> None:
    assert soak.schedule(minutes) == (cycles, pytest.approx(seconds))


def test_three_loads_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Camera and node over DDS: what was published is all accounted for."""
    pytest.importorskip("rclpy", reason="needs ROS 2 (a sourced one, or the wheels)")
    monkeypatch.setattr(soak, "SCENE_FRAMES", 6)
    phases = (
        soak.Phase("depth", 10.0, (96, 64), ("depth/image",)),
        soak.Phase("nobody", 10.0, (96, 64), ()),
        soak.Phase("swaps", 10.0, (96, 64), ("depth/image",), swaps=True),
    )
    network = {"engine": "torch", "input_width": 64, "input_height": 32}
    lines: list[str] = []
    heard, unheard, swapping = soak.soak(network, 1, 2.0, tmp_path, lines.append, phases, swaps=2)
    assert heard.delta("served") > 0
    assert heard.counts["depth/image"] == heard.delta("served")
    assert min(heard.latency_ms) > 0
    assert heard.memory > 100e6  # PyTorch alone
    assert unheard.delta("served") == 0
    assert unheard.delta("unwanted") > 0
    assert [swap.good for swap in swapping.swaps] == [True, True], swapping.swaps
    # The answer names what is in use: the two versions take turns.
    assert [swap.message for swap in swapping.swaps] == [
        f"weights '{version}' are in use" for version in soak_swaps.VERSIONS
    ]
    assert swapping.after["weights_version"] == soak_swaps.VERSIONS[1]
    # Not of the swaps: on a busy machine building an engine beside may well cost a frame.
    found = {verdict.what: verdict for verdict in judge([heard, unheard])}
    assert found["no missed stamp"].good, found["no missed stamp"].detail
    assert found["stamps rise"].good
    assert len(lines) == 4  # where, three phases


def test_weights_that_nobody_names_are_those_that_the_node_takes(tmp_path: Path) -> None:
    files = soak_swaps.SwapFiles.make("", "lite", tmp_path)
    given, shipped = Weights.from_file(files.target), Weights.from_file("default")
    assert given.metadata == {**shipped.metadata, "version": soak_swaps.VERSIONS[-1]}
    assert all(given.tensors[name].equal(value) for name, value in shipped.tensors.items())
