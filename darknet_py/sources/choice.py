"""Which frames of a video or stream are looked at, and how long to wait for them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from darknet_py.arguments import short
from darknet_py.errors import OptionError

__all__ = ["Choice", "as_seconds"]

_CLOCK = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,5}):)?(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)


@dataclass(frozen=True)
class Choice:
    """Which frames are looked at.

    Attributes
    ----------
    every : int
        Only each so-many-th frame, from the first on.
    start, stop : float or None
        Seconds from the start of the video: frames from `start` on, before `stop`.
    latest : bool or None
        Only the newest frame, those that came meanwhile are dropped; None: of live sources, not of files.
    reconnect : bool
        A live source that ends, fails or stalls is opened again and again.
    timeout : float
        Seconds without a frame after which a live source counts as lost.
    """

    every: int = 1
    start: float | None = None
    stop: float | None = None
    latest: bool | None = None
    reconnect: bool = False
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise OptionError(f"every={short(self.every)}: expected a whole number from 1 on")
        for name in ("start", "stop"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_seconds(name, value))
        if self.stop is not None and self.stop <= (self.start or 0):
            raise OptionError(f"stop={self.stop:g} is not after start={self.start or 0:g}: no frame lies between")
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, int | float) or not 0 < self.timeout < 1e6:
            raise OptionError(f"timeout={short(self.timeout)}: expected seconds above 0")

    def wants(self, frame: int, time: float) -> bool:
        """Whether frame number `frame`, counted from 1, shown at `time`, is looked at."""
        return (frame - 1) % self.every == 0 and time >= (self.start or 0) and not self.is_over(time)

    def is_over(self, time: float) -> bool:
        """Whether no frame from this time on is wanted."""
        return self.stop is not None and time >= self.stop


def as_seconds(name: str, value: float | str) -> float:
    """A time as seconds, from a number or as text: ``90``, ``1:30``, ``0:01:30.5``.

    Raises
    ------
    OptionError
    """
    if isinstance(value, str):
        found = _CLOCK.fullmatch(value.strip())
        if found:
            return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + float(found[3])
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    raise OptionError(f"{name}={short(value)}: expected seconds (90 or 2.5) or [hours:]minutes:seconds (1:30)")
