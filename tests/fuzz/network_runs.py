"""A random network run every way there is, each compared with naive layers; in the guard mode, memory with its bands.

What is compared, for one seed: the heads as they come out by themselves, with threads and in batches (bit for bit the
same), some layers tapped or all of them, for direct convolutions and for Winograd's, in float32 and in bfloat16, with
chains of everything that can be chained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from networks import SMALLEST_SCALE, TinyNetwork, eager_chains, weights_bytes
from numpy.typing import NDArray

from darknet_py import Network, tuning
from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph
from darknet_py.weights import WeightsFile
from fuzz.random_networks import grow

__all__ = ["Difference", "compare"]

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

#: Of a layer's largest value: direct convolutions, Winograd's, pairs of bfloat16 values.
TOLERANCES = {"exact": 2e-5, "fast": 1e-3, "bfloat16": 0.03}
#: How far what goes into each layer is moved to see what a rounding can become: as far as roundings go.
ROUNDINGS = {"exact": 1e-6, "fast": 1e-4, "bfloat16": 2.0**-8}
#: A difference may be so many times what the worst of some such movements made of it.
_FACTOR = 8
_MOVEMENTS = 4
#: Few see what one value in thousands jumps by, as normalize_channels does from 0 to 1 at zero. So many do, and then
#: each value has to be near enough by what they made of itself.
_MANY_MOVEMENTS = 400

#: The activation that e^x overflows in.
_OVERFLOWING = "normalize_channels_softmax"

_PINS = ("F2", "F4,S2", "F6,S4", "F4-lean,S4-lean", "F6-lean", "direct")


class Difference(AssertionError):
    """A network that gives other values than the naive layers."""


class _Moved(TinyNetwork):
    """The same network with each weight and value moved a little: how much its roundings may matter."""

    rounding = 0.0
    number = 0

    def __init__(self, shape: tuple[int, int, int], seed: int = 0) -> None:
        super().__init__(shape, seed)
        self.dice = np.random.default_rng([seed, self.number])
        self.blob = self._moved(self.blob)

    def _moved(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        largest = np.abs(values).max(initial=0)
        relative = values * self.dice.uniform(-self.rounding, self.rounding, values.shape)
        return values + relative + self.dice.uniform(-1e-7, 1e-7, values.shape) * largest

    def draw(self, *shape: int, low: float | None = None, high: float = 0.0, scale: float = 1.0) -> Floats:
        stored = super().draw(*shape, low=low, high=high, scale=scale)
        return self._moved(stored).astype(np.float32)

    def replay(self, other: TinyNetwork) -> list[Array]:
        for kind, options in other.sections:
            super().add(kind, options)
            self.outputs[-1] = self._moved(self.outputs[-1])
        return self.outputs


class _Case:
    """A network, its graph and blob, and what its differences are measured by."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tiny = grow(seed)
        self.graph: Graph = build_graph(parse_cfg(self.tiny.cfg(), f"seed {seed}"))
        self.random = np.random.default_rng([seed, 2])
        self._may: dict[str, list[Array]] = {}

    def network(self, **options: object) -> Network:
        weights = WeightsFile(weights_bytes(self.tiny.stored), self.graph)
        return Network(self.graph, weights, **options)  # type: ignore[arg-type]

    def heads(self) -> list[int]:
        return [head.index for head in self.graph.heads] or [self.graph.output.index]

    def check(self, index: int, found: Floats, kind: str, way: str) -> None:
        """Raise Difference unless layer `index` is near enough to the naive one."""
        expected = self.tiny.outputs[index]
        if found.shape != expected.shape:
            raise Difference(f"seed {self.seed}, layer {index}, {way}: shape {found.shape}, not {expected.shape}")
        if self._overflows(kind, index):
            return
        scale = max(float(np.abs(expected).max()), SMALLEST_SCALE)
        error = np.abs(found - expected)
        if np.isfinite(found).all() and error.max() <= TOLERANCES[kind] * scale:
            return
        allowed = TOLERANCES[kind] * scale + _FACTOR * float(self._movement(kind, index).max())
        if not np.isfinite(found).all() or (error.max() > allowed and self._is_beyond(kind, index, error, scale)):
            worst = tuple(int(i) for i in np.unravel_index(int(np.nanargmax(error)), error.shape))
            raise Difference(
                f"seed {self.seed}, layer {index} [{self.tiny.sections[index][0]}], {way}: {found[worst]} at {worst}, "
                f"expected {expected[worst]} within {allowed:.3g} (largest {scale:.3g})\n{self.tiny.cfg()}"
            )

    def _is_beyond(self, kind: str, index: int, error: Array, scale: float) -> bool:
        """Whether a value is further from the naive one than many movements have it."""
        movement = self._movement(kind, index, _MANY_MOVEMENTS)
        return bool((error > TOLERANCES[kind] * scale + _FACTOR * movement).any())

    def _overflows(self, kind: str, index: int) -> bool:
        """Whether this layer or one before has an infinity in float32, as in Darknet, or may have it by a rounding.

        Where exactly is a matter of roundings; `test_infinities.py` has inputs for which it is not.
        """
        if not any(options.get("activation") == _OVERFLOWING for _, options in self.tiny.sections[: index + 1]):
            return False
        self._movement(kind, index)
        return not all(np.isfinite(moved).all() for moved in self._may[kind][: index + 1])

    def _movement(self, kind: str, index: int, count: int = _MOVEMENTS) -> Array:
        """The largest changes of layer `index` when all that goes into layers is moved, `count` times."""
        if kind not in self._may or count > _MOVEMENTS:
            shape = self.tiny.blob.shape
            largest = [np.zeros(y.shape) for y in self.tiny.outputs]
            for number in range(count):
                make = type("Moved", (_Moved,), {"rounding": ROUNDINGS[kind], "number": number})
                with np.errstate(all="ignore"):  # of those that overflow
                    moved = make(shape, self.seed).replay(self.tiny)  # type: ignore[arg-type]
                    largest = [
                        np.maximum(before, np.abs(y - plain))
                        for before, y, plain in zip(largest, moved, self.tiny.outputs, strict=True)
                    ]
            self._may[kind] = largest
        return self._may[kind][index]


@contextmanager
def _pinned(pin: str) -> Iterator[None]:
    """Winograd wherever it can be, however small the layer."""
    before, smallest = os.environ.get("DARKNET_PY_CONVOLUTION"), tuning._SMALLEST_BFLOPS
    os.environ["DARKNET_PY_CONVOLUTION"] = pin
    tuning._SMALLEST_BFLOPS = 0.0
    try:
        yield
    finally:
        tuning._SMALLEST_BFLOPS = smallest
        os.environ.pop("DARKNET_PY_CONVOLUTION")
        if before is not None:
            os.environ["DARKNET_PY_CONVOLUTION"] = before


def compare(seed: int) -> None:
    """Run the network of this seed every way and compare.

    Raises
    ------
    Difference
        Values differ from the naive layers', or between threads or batches.
    MemoryFault
        In the guard mode: something was written or read beside its memory.
    """
    case = _Case(seed)
    pin = str(case.random.choice(_PINS))
    with _pinned(pin):
        if case.random.random() < 0.5:
            with eager_chains(int(case.random.choice([1024, 4096, 16384]))):
                _compare_ways(case, pin)
        else:
            _compare_ways(case, pin)


def _compare_ways(case: _Case, pin: str) -> None:
    precision = "bfloat16" if case.random.random() < 0.4 else "float32"
    exact = pin == "direct"
    kind = precision if precision == "bfloat16" else "exact" if exact else "fast"
    options = {"exact": exact, "precision": precision}
    threads = int(case.random.integers(2, 5))
    network = case.network(threads=threads, **options)
    way = f"{kind} {pin} with {threads} threads"
    outputs = network.run(case.tiny.blob)
    for index, found in zip(case.heads(), outputs, strict=True):
        case.check(index, found, kind, way)
    _compare_taps(case, network, kind, way)
    if case.random.random() < 0.4:
        _compare_batch(case, network, outputs, way)
    if case.random.random() < 0.4:
        _same(case.network(threads=1, **options).run(case.tiny.blob), outputs, f"seed {case.seed}, {way} and with 1")


def _compare_taps(case: _Case, network: Network, kind: str, way: str) -> None:
    count = len(case.tiny.outputs)
    taps = list(range(count))
    if case.random.random() < 0.6:
        taps = sorted(int(i) for i in case.random.choice(count, int(case.random.integers(1, count + 1)), replace=False))
    for index, found in network.run(case.tiny.blob, taps=taps).items():
        case.check(index, found, kind, f"{way}, taps {taps}")


def _compare_batch(case: _Case, network: Network, outputs: list[Floats], way: str) -> None:
    """Among others, before and behind it, a picture gives what it gives alone."""
    count = int(case.random.integers(2, 11))
    place = int(case.random.integers(count))
    blobs = case.random.standard_normal((count, *case.tiny.blob.shape), np.float32)
    blobs[place] = case.tiny.blob
    together = [output[place] for output in network.run(blobs)]
    _same(together, outputs, f"seed {case.seed}, {way}, picture {place} of {count}")


def _same(found: list[Floats], expected: list[Floats], what: str) -> None:
    for one, other in zip(found, expected, strict=True):
        if not np.array_equal(one, other, equal_nan=True):
            raise Difference(f"{what}: not the same bit for bit, by up to {np.abs(one - other).max()}")
