"""Frames are shown at their pace, looped, and ended with the reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from depth_motion_ros.nodes.camera import playback as playback_under_test
from depth_motion_ros.nodes.camera.playback import Playback
from depth_motion_ros.sources.frame import Frame, SourceError

SOON = 60.0  # seconds; only waited for when a test fails


class ListSource:
    name, rate = "list", 50.0

    def __init__(self, stamps: list[float], error: Exception | None = None) -> None:
        self.stamps, self.error, self.closed = stamps, error, False
        self.length = len(stamps)

    def __iter__(self) -> Iterator[Frame]:
        for stamp in self.stamps:
            yield Frame(round(stamp * 1e9), np.zeros((2, 2, 3), np.uint8))
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed = True


class Recorder:
    def __init__(self, stop_after: int | None = None) -> None:
        self.times: list[float] = []
        self.stamps: list[int] = []
        self.end: tuple[int, Exception | None] | None = None
        self.done = threading.Event()
        self.stop_after = stop_after

    def show(self, frame: Frame) -> None:
        self.times.append(time.monotonic())
        self.stamps.append(frame.stamp)
        if len(self.stamps) == self.stop_after:
            self.done.set()

    def finished(self, shown: int, error: Exception | None) -> None:
        self.end = (shown, error)
        self.done.set()


def play(source: ListSource, recorder: Recorder, **options: object) -> Playback:
    playback = Playback(source, recorder.show, recorder.finished, **options)
    playback.start()
    assert recorder.done.wait(SOON)
    return playback


@pytest.mark.parametrize(("rate", "span"), [(0.0, 0.3), (20.0, 0.1)])
def test_the_pace_is_that_of_the_stamps_or_the_rate(rate: float, span: float) -> None:
    recorder = Recorder()
    play(ListSource([0.0, 0.1, 0.3]), recorder, rate=rate)
    assert recorder.end == (3, None)
    # Never early; a busy machine may be late.
    assert recorder.times[-1] - recorder.times[0] >= span - 0.005


class Clock(threading.Event):
    """Time that goes on only where somebody waits, or takes some."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return False


def test_a_late_frame_is_not_made_up_for_in_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    shown: list[float] = []

    def show(frame: Frame) -> None:
        shown.append(clock.now)
        if len(shown) == 2:
            clock.now += 0.35  # three and a half frames long

    monkeypatch.setattr(playback_under_test, "time", clock)
    source = ListSource([0.1 * index for index in range(6)])
    playback = Playback(source, show, lambda *_: None)
    playback._stopped = clock
    playback._run()
    # One comes at once after the late one, and from there on the distance is that of the stamps.
    assert shown == pytest.approx([0.0, 0.1, 0.45, 0.45, 0.55, 0.65])


def test_a_loop_keeps_the_stamps_and_never_ends_by_itself() -> None:
    recorder = Recorder(stop_after=5)
    source = ListSource([0.0, 0.01])
    playback = play(source, recorder, loop=True)
    assert playback.stop()
    assert recorder.stamps[:5] == [0, 10_000_000, 0, 10_000_000, 0]
    assert recorder.end is None
    assert source.closed


def test_nothing_is_shown_before_the_audience_is_there() -> None:
    recorder = Recorder()
    doors = threading.Event()
    playback = Playback(ListSource([0.0]), recorder.show, recorder.finished, ready=doors.is_set)
    playback.start()
    time.sleep(0.1)  # several of the looks that the player takes at the door
    assert not recorder.stamps
    doors.set()
    assert recorder.done.wait(SOON)
    assert recorder.stamps == [0]


@pytest.mark.parametrize("loop", [False, True])
def test_a_source_without_frames_is_an_error_and_no_endless_loop(loop: bool) -> None:
    recorder = Recorder()
    play(ListSource([]), recorder, loop=loop)
    assert recorder.end is not None
    assert "holds no frame" in str(recorder.end[1])


def test_a_read_error_ends_the_playing_with_its_reason() -> None:
    recorder = Recorder()
    play(ListSource([0.0], SourceError("frame 2 is damaged")), recorder)
    assert recorder.end is not None
    assert recorder.end[0] == 1
    assert "frame 2 is damaged" in str(recorder.end[1])


@pytest.mark.parametrize(
    ("stamps", "told"),
    [
        (
            [5.0, 5.02, 1.7e9, 1.7e9 + 0.02],
            "forwards by 53.9 years, from 5.020 s to 1700000000.000",
        ),
        ([100.0, 100.02, 3700.0, 3700.02], "forwards by 3599.980 s"),
        ([100.0, 100.02, 99.0, 99.02], "backwards by 1.020 s"),
        ([1.7e9, 1.7e9 + 0.02, 0.0, 0.02], "backwards by 53.9 years"),
    ],
)
def test_a_leap_of_the_stamps_is_told_and_not_waited_for(stamps: list[float], told: str) -> None:
    recorder = Recorder()
    leaps: list[str] = []
    play(ListSource(stamps), recorder, tell=leaps.append)
    assert recorder.end == (4, None)
    assert recorder.stamps == [round(stamp * 1e9) for stamp in stamps]
    assert len(leaps) == 1
    assert told in leaps[0]


def test_leaps_without_end_are_not_told_without_end() -> None:
    recorder = Recorder()
    leaps: list[str] = []
    play(ListSource([float(60 * index) for index in range(12)]), recorder, tell=leaps.append)
    assert recorder.end == (12, None)
    assert len(leaps) == 5


def test_a_pause_is_played_and_no_leap() -> None:
    recorder = Recorder()
    leaps: list[str] = []
    play(ListSource([0.0, 0.4, 0.4]), recorder, tell=leaps.append)
    assert leaps == []
    assert recorder.times[-1] - recorder.times[0] >= 0.4 - 0.005
