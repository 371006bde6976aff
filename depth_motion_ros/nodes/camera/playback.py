"""Frames of a source handed out at their own pace, on a thread of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from depth_motion_ros.sources.frame import Frame, FrameSource, SourceError


class Playback:
    """Plays a source: each frame is given to ``show`` when its time has come.

    rate: frames per second; 0 = by the stamps (a live source has its own pace).
    loop: start again at the end.
    ready: the first frame waits until it returns True.
    finished: called at the end with the number of frames shown and the error that ended it,
        None at the end of the source; not called after ``stop``.

    All calls come from the playing thread. A frame that is late is shown at once and the later
    ones keep their distance to it: nothing is made up for in a burst.
    """

    def __init__(
        self,
        source: FrameSource,
        show: Callable[[Frame], None],
        finished: Callable[[int, Exception | None], None],
        ready: Callable[[], bool] = lambda: True,
        rate: float = 0.0,
        loop: bool = False,
    ) -> None:
        self._source = source
        self._show = show
        self._finished = finished
        self._ready = ready
        self._period = 1.0 / rate if rate > 0 else 0.0
        self._loop = loop
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
        for frame in self._source:
            if previous is not None:
                step = self._period or max(0.0, (frame.stamp - previous) * 1e-9)
                due = max(due + step, time.monotonic() - step)
            previous = frame.stamp
            if self._stopped.wait(max(0.0, due - time.monotonic())):
                return False
            self._show(frame)
            self._shown += 1
        if previous is None:
            return False
        # The last frame lasts as long as the others, or a loop would hurry over the seam.
        rate = self._source.rate
        last = self._period or (1.0 / rate if rate else 0.0)
        self._stopped.wait(max(0.0, due + last - time.monotonic()) if self._loop else 0.0)
        return True
