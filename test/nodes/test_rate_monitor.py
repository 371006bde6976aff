"""A source that does not keep its announced rate is reported, once and when it gets much worse."""

from __future__ import annotations

from depth_motion_ros.nodes.camera.rate_monitor import RateMonitor


def reports(announced: float | None, *paces: tuple[float, float]) -> list[float]:
    """What is reported. paces: rate (Hz) and for how long (s), one after the other."""
    monitor, now = RateMonitor(announced), 0.0
    said = [monitor.count(now)]
    for rate, seconds in paces:
        for _ in range(round(rate * seconds)):
            now += 1 / rate
            said.append(monitor.count(now))
    return [round(rate, 3) for rate in said if rate is not None]


def test_a_rate_that_is_kept_is_no_news() -> None:
    assert reports(30.0, (30.0, 60.0)) == []
    # A nominal rate is a little off.
    assert reports(30.0, (25.0, 60.0)) == []


def test_a_slow_source_is_reported_once() -> None:
    assert reports(30.0, (5.0, 60.0)) == [5.0]


def test_one_frame_in_eight_seconds_is_reported_with_the_second_frame() -> None:
    assert reports(30.0, (0.125, 80.0)) == [0.125]


def test_it_is_news_again_when_it_falls_to_less_than_half() -> None:
    assert reports(30.0, (5.0, 20.0), (4.0, 20.0), (1.0, 20.0)) == [5.0, 1.0]


def test_what_announces_nothing_keeps_everything() -> None:
    assert reports(None, (0.5, 60.0)) == []
