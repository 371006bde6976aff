"""Which images are new: the time of each against that of the last one used."""

from __future__ import annotations

from dataclasses import dataclass

SAME_STAMP = "same stamp"
OLDER_IMAGE = "older image"
SAME_PICTURE = "same picture"
STANDS_STILL = "time stands still"

# Older images in a row, each newer than the one before it: not late ones, but a clock that was set
# back, or a recording that begins anew.
_RISING_RUN = 4
# Images in a row that are not newer, whatever their order: the clock stands still, or jumps about.
_LONGEST_RUN = 10
# s. A camera may repeat a picture for as long: a driver that runs faster than the sensor. After
# that the scene stands still, as it does in a simulation without noise.
_LONGEST_REPEAT = 0.25
_SECOND = 1e-9


@dataclass(frozen=True)
class LeftOut:
    """An image that says nothing new about the motion. cause: one of the names above, to count it
    by. reason: a sentence."""

    cause: str
    reason: str


# How the reason of a gap begins: no frame was there, or none was asked for.
MISSING, UNWANTED = "no frame for", "no subscriber for"


@dataclass(frozen=True)
class Break:
    """The image is new, but has no motion from the one before. reason: a sentence."""

    reason: str


class TimeLine:
    """Judges one image after another; only ``advance`` makes one the last image used.

    What is not newer than the last image would count its time twice and is left out. Time that
    goes back for good is a break: at once where it goes back by more than ``max_gap``, else after a
    few images. So is a gap.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self.forget()

    def forget(self) -> None:
        """The next image is new, whatever its time."""
        self._last = None
        self._run: list[int] = []
        self._rising = 0
        self._stands_still = False

    def place(self, stamp: int, max_gap: float) -> LeftOut | Break | None:
        """What the image's time says of it; None = it is the next one. stamp: ns. max_gap: s."""
        if self._last is None:
            return None
        elapsed = (stamp - self._last) * _SECOND
        if elapsed > max_gap:
            return Break(f"{MISSING} {elapsed:.3f} s")
        if elapsed > 0:
            return None
        if -elapsed > max_gap:
            return Break(f"time went back by {-elapsed:.3f} s")
        self._rising = self._rising + 1 if self._run and stamp > self._run[-1] else 1
        self._run.append(stamp)
        if self._rising >= _RISING_RUN or len(self._run) >= _LONGEST_RUN:
            back = (self._last - min(self._run)) * _SECOND
            if back == 0:
                return Break(f"{STANDS_STILL} at {stamp * _SECOND:.3f} s")
            return Break(f"time went back by {back:.3f} s")
        if elapsed == 0:
            return LeftOut(SAME_STAMP, f"another image with the stamp {stamp * _SECOND:.3f} s")
        return LeftOut(
            OLDER_IMAGE,
            f"an image is {-elapsed:.3f} s older than the last one, which had the stamp "
            f"{self._last * _SECOND:.3f} s",
        )

    def repeat(self, stamp: int) -> LeftOut | None:
        """The image is newer, but the same to the bit as the last one; None = it counts, because
        nothing has changed for long: the scene stands still."""
        if self._last is None:
            return None
        elapsed = (stamp - self._last) * _SECOND
        self._stands_still = self._stands_still or elapsed > _LONGEST_REPEAT
        if self._stands_still:
            return None
        return LeftOut(
            SAME_PICTURE,
            f"the camera sent the same picture again {elapsed:.3f} s later, under a new stamp",
        )

    def advance(self, stamp: int, is_repeated: bool) -> None:
        """This image is the last one used. is_repeated: it is the same as the one before."""
        self._last, self._run, self._rising = stamp, [], 0
        self._stands_still = self._stands_still and is_repeated
