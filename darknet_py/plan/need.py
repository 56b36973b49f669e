"""How many states are worth keeping: as many as were used at once of late."""

from __future__ import annotations

from weakref import WeakSet

from darknet_py.plan.state import State

__all__ = ["Need"]

#: Runs after which a peak is forgotten, at the latest after twice as many.
_WINDOW = 16

#: Free states that are kept where so many were used at once, on machines that cannot compute as many: of a crowd that
#: runs without a pause few states are free at any moment.
_FEW = 4


class Need:
    """Counts the states in use.

    Parameters
    ----------
    together : int
        Runs that this machine can compute at once.
    """

    def __init__(self, together: int) -> None:
        self._limit = max(_FEW, together)
        # Weak, as a state that an exception took from its run is never given back.
        self._used: WeakSet[State] = WeakSet()
        self._ended = 0
        self._peak = self._peak_before = 0

    def begin(self, state: State) -> None:
        """Note that a run has this state."""
        self._used.add(state)
        self._peak = max(self._peak, len(self._used))

    def end(self, state: State) -> int:
        """Note that it was given back; how many free ones are worth keeping."""
        self._used.discard(state)
        self._ended += 1
        if self._ended % _WINDOW == 0:
            self._peak_before, self._peak = self._peak, len(self._used) + 1
        return min(self._limit, max(self._peak, self._peak_before))
