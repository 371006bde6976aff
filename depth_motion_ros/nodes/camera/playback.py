"""Frames of a source handed out at their own pace, on a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from depth_motion_ros.sources.frame import Frame, FrameSource, SourceError

# s. A longer pause between two frames is no pause, but a clock that was set while recording.
LONGEST_PAUSE = 10.0
_USUAL_PAUSE = 0.1  # s, where nothing says how far frames are apart
_MOST_LEAPS_TOLD = 5


class Playback:
    """Plays a source: each frame is given to ``show`` when its time has come.

    rate: frames per second; 0 = by the stamps (a live source has its own pace).
    loop: start again at the end.
    ready: the first frame waits until it returns True.
    tell: called with a sentence for each leap of the stamps.
    finished: called at the end with the number of frames shown and the error that ended it,
        None at the end of the source; not called after ``stop``.

    All calls come from the playing thread. A frame that is late is shown at once and the later
    ones keep their distance to it: nothing is made up for in a burst. Stamps that leap, forwards by
    more than ``LONGEST_PAUSE`` or backwards, cost the time of one frame.
    """

    def __init__(
        self,
        source: FrameSource,
        show: Callable[[Frame], None],
        finished: Callable[[int, Exception | None], None],
        ready: Callable[[], bool] = lambda: True,
        rate: float = 0.0,
        loop: bool = False,
        tell: Callable[[str], object] = lambda leap: None,
    ) -> None:
        self._source = source
        self._show = show
        self._finished = finished
        self._ready = ready
        self._period = 1.0 / rate if rate > 0 else 0.0
        self._loop = loop
        self._tell = tell
        self._leaps_told = 0
        self._stopped = threading.Event()
        self._shown = 0
        self._thread = threading.Thread(target=self._run, name="playback", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called: a ``finished`` that waits should not wait longer."""
        return self._stopped.is_set()

    def stop(self, timeout: float = 3.0) -> bool:
        """End the playing and close the source. False when a blocking read holds the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        self._source.close()
        return True

    def _run(self) -> None:
        error: Exception | None = None
        try:
            while not self._stopped.is_set() and not self._ready():
                self._stopped.wait(0.02)
            while self._play_once() and self._loop and not self._stopped.is_set():
                pass
            if not self._shown and not self._stopped.is_set():
                raise SourceError(f"{self._source.name} holds no frame")
        except Exception as caught:
            error = caught
        if not self._stopped.is_set():
            self._finished(self._shown, error)

    def _play_once(self) -> bool:
        """One pass. Returns False for a pass without frames, which must not be repeated."""
        due = time.monotonic()
        previous: int | None = None
        usual = self._period or (1.0 / self._source.rate if self._source.rate else _USUAL_PAUSE)
        for frame in self._source:
            if previous is not None:
                step = self._period or self._pause(previous, frame.stamp, usual)
                due = max(due + step, time.monotonic() - step)
            previous = frame.stamp
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return False
            self._show(frame)
            self._shown += 1
        if previous is None:
            return False
        # The last frame lasts as long as the others, or a loop would hurry over the seam.
        self._stopped.wait(max(0.0, due + usual - time.monotonic()) if self._loop else 0.0)
        return True

    def _pause(self, previous: int, stamp: int, usual: float) -> float:
        """Seconds between two frames, as their stamps say where they are to be believed."""
        step = (stamp - previous) * 1e-9
        if 0.0 <= step <= LONGEST_PAUSE:
            return step
        if self._leaps_told < _MOST_LEAPS_TOLD:
            self._leaps_told += 1
            where = "forwards" if step > 0 else "backwards"
            self._tell(
                f"the stamps leap {where} by {_duration(abs(step))}, from {previous * 1e-9:.3f} s "
                f"to {stamp * 1e-9:.3f} s: the clock was set while recording, or the recording "
                f"paused; played on after {usual:.3g} s"
            )
        return usual


def _duration(seconds: float) -> str:
    for unit, length in (("years", 365.25 * 86400), ("days", 86400.0), ("hours", 3600.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3f} s"
