"""A random network while it grows: what it has so far, and the dice that say what comes next."""

from __future__ import annotations

import naive
import numpy as np
from networks import TinyNetwork

__all__ = ["ACTIVATIONS", "CHANNELS", "MOST_VALUES", "Grower", "Options"]

#: Tails of vectors of 4, 8 and 16 lanes, pairs and blocks of them.
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40, 48, 65)

#: All but `stair`, whose steps turn a rounding into a whole number.
ACTIVATIONS = tuple(name for name in naive.ELEMENTWISE if name != "stair")
#: What networks in use have, which is fused most.
_USUAL = ("leaky", "mish", "linear", "relu", "swish", "logistic")

#: Values of a layer's output: naive layers take a microsecond for each.
MOST_VALUES = 3000

#: Of a section.
Options = dict[str, object]


class Grower:
    """A network, and the dice that say how it grows on."""

    def __init__(self, tiny: TinyNetwork, random: np.random.Generator) -> None:
        self.tiny, self.random = tiny, random

    @property
    def shape(self) -> tuple[int, int, int]:
        c, h, w = self.tiny.x.shape
        return c, h, w

    def is_finite(self) -> bool:
        """Whether the last layer's values are: behind others, Winograd's tiles and pools have NaN in other places."""
        return bool(np.isfinite(self.tiny.x).all())

    def one_of(self, *choices: object) -> object:
        return choices[int(self.random.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def activation(self, own: float = 0.2) -> str:
        return str(self.one_of(*(ACTIVATIONS if self.chance(own) else _USUAL)))

    def filters(self) -> int:
        _, h, w = self.shape
        fitting = [count for count in CHANNELS if count * h * w <= MOST_VALUES]
        return int(str(self.one_of(*fitting or [1])))

    def same(self, *, channels: bool = False) -> list[int]:
        """Layers before whose maps are as large as the last one's, in no order."""
        c, h, w = self.shape
        found = [
            i for i, y in enumerate(self.tiny.outputs)
            if y.shape[1:] == (h, w) and (not channels or len(y) == c)
        ]  # fmt: skip
        return [int(i) for i in self.random.permutation(found)]

    def reference(self, layer: int) -> int:
        """The layer as a cfg may name it: counted from the first, or back from here."""
        return layer - len(self.tiny.outputs) if self.chance(0.5) else layer
