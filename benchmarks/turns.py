"""Timing several things on one machine fairly: they take turns, and every figure carries its noise."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["SMALLEST_MOVE", "Timing", "moved", "take_turns"]

#: Less than this share is never called a move: where memory happens to lie makes two processes differ by up to 4 %
#: while the turns of each agree within 2 %.
SMALLEST_MOVE = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds of one thing: the median of each of its turns, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance from the fastest turn to the slowest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median


def take_turns(actions: Sequence[Callable[[], object]], rounds: int, turn: float, pause: float = 0.0) -> list[Timing]:
    """Time `actions` in rounds A B C A B C, so that a machine that changes its speed changes it for all.

    Parameters
    ----------
    actions : sequence of callables
    rounds : int
    turn : float
        Seconds that an action repeats in its turn, once at least, after one run that does not count.
    pause : float
        Seconds before each round: other libraries' threads spin for a while after their last work.
    """
    found: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        time.sleep(pause)
        for action, medians in zip(actions, found, strict=True):
            action()
            times: list[float] = []
            while not times or sum(times) < turn:
                start = time.perf_counter()
                action()
                times.append(time.perf_counter() - start)
            medians.append(statistics.median(times))
    return [Timing(tuple(medians)) for medians in found]


def moved(before: float, spread_before: float, now: float, spread_now: float) -> bool:
    """Whether two medians differ by more than both their spreads together."""
    return abs(now / before - 1) > max(SMALLEST_MOVE, spread_before + spread_now)
