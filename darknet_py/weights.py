"""Weights files → arrays per layer: header, exact size check, memory-mapped reading, seeded stand-ins.

Layout: little-endian int32 major, minor, revision; the count of images seen, 64 bits where ``major * 10 + minor >= 2``,
else 32; then float32 arrays in cfg order, each layer's as `Layer.parameters` lists them.
"""

from __future__ import annotations

import logging
import mmap
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from darknet_py.arguments import as_integer
from darknet_py.errors import WeightsError
from darknet_py.filekind import HEAD_BYTES, cure_of, what_it_is
from darknet_py.graph import Graph
from darknet_py.layers import Layer, Parameter
from darknet_py.weights_diagnosis import likely_cause

__all__ = [
    "HEADER_BYTES",
    "Header",
    "SeededWeights",
    "WeightsFile",
    "WeightsSource",
    "expected_bytes",
    "has_wide_count",
    "read_header",
]

_log = logging.getLogger(__name__)

Array = NDArray[Any]
#: Of a file with a 64-bit count, as every version since 2016 writes.
HEADER_BYTES = 20
_OLD_HEADER_BYTES = 16
#: Darknet is at 0.2.5; above 1000 connected layers are transposed.
_MOST_VERSION = 10_000


class Header(NamedTuple):
    """The head of a weights file: format version, training images seen, and its own length."""

    version: tuple[int, int, int]
    seen: int
    size: int


def has_wide_count(version: tuple[int, ...]) -> bool:
    """Whether files of this version count the images seen in 64 bits instead of 32."""
    return version[0] * 10 + version[1] >= 2


def read_header(start: bytes | mmap.mmap) -> Header | None:
    """The header in the first bytes of a file; None if they are too few for one."""
    if len(start) < 16:
        return None
    version = struct.unpack_from("<iii", start)
    wide = has_wide_count(version)
    if wide and len(start) < HEADER_BYTES:
        return None
    return Header(
        version, struct.unpack_from("<Q" if wide else "<I", start, 12)[0], HEADER_BYTES if wide else _OLD_HEADER_BYTES
    )


class WeightsSource(Protocol):
    """Anything that can give a layer its arrays."""

    def arrays(self, layer: Layer) -> dict[str, Array]:
        """The float32 arrays of `layer` by parameter name; valid until `release`."""

    def release(self, layer: Layer) -> None:
        """Say that the arrays of `layer` are no longer needed."""


def expected_bytes(graph: Graph, header: int = HEADER_BYTES) -> int:
    """Size of the weights file that belongs to `graph`."""
    return header + 4 * graph.parameter_count


def _count(parameters: tuple[Parameter, ...]) -> int:
    return sum(int(np.prod(p.shape, dtype=np.int64)) for p in parameters)


class WeightsFile:
    """A Darknet ``.weights`` file, mapped into memory, that matches a graph exactly.

    Parameters
    ----------
    path : str, Path or bytes
        The file, or all that it holds.
    graph : Graph
    upto : int, optional
        How many layers the file holds, from the first on, where that is not all of them: 74 for ``darknet53.conv.74``.
    header_bytes : {20, 16}, optional
        Where the values begin, whatever the header's version says.

    Attributes
    ----------
    version : (int, int, int)
    seen : int
        Training images the header counts.
    header_bytes : int
        Where the values begin: 20, or 16 in old files.
    layers : tuple of Layer
        Those that the file holds.

    Raises
    ------
    WeightsError
        If the file is missing or its size is not that of the graph; the message gives the likely cause.
    """

    def __init__(
        self, path: str | Path | bytes, graph: Graph, *, upto: int | None = None, header_bytes: int | None = None
    ) -> None:
        self.layers = graph.layers if upto is None else graph.layers[:upto]
        self._map: mmap.mmap | bytes
        if isinstance(path, bytes):
            self.path, self._map = Path("weights in memory"), path
        else:
            self.path = Path(path)
            self._map = self._mapped()
        try:
            self._read_header(graph, header_bytes)
        except WeightsError:
            self.close()
            raise
        self._offsets: dict[int, int] = {}
        at = self.header_bytes
        for layer in self.layers:
            self._offsets[layer.index] = at
            at += 4 * _count(layer.parameters)

    def _mapped(self) -> mmap.mmap:
        try:
            with self.path.open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is empty"
            raise WeightsError(f"{self.path}: cannot read the weights: {reason}") from error

    def _read_header(self, graph: Graph, forced: int | None) -> None:
        actual, values = len(self._map), 4 * sum(_count(layer.parameters) for layer in self.layers)
        header = read_header(self._map)
        if header is None:
            kind = what_it_is(bytes(self._map[:HEAD_BYTES]), weights=True)
            said = f"this is {kind}" if kind else f"{actual} bytes: too short to be a Darknet weights file"
            raise WeightsError(f"{self.path}: {said}")
        self.version, self.seen, self.header_bytes = header
        other = HEADER_BYTES if self.header_bytes != HEADER_BYTES else _OLD_HEADER_BYTES
        if forced == other and actual >= HEADER_BYTES:
            self._take_header(other)
        elif forced is None and actual == other + values and self._has_count_of(other):
            _log.warning(
                "%s: its header says version %d.%d but is %d bytes long, as the file's size shows; for other programs "
                "to read it: darknet-py weights convert",
                self.path, self.version[0], self.version[1], other,
            )  # fmt: skip
            self._take_header(other)
        if actual != self.header_bytes + values:
            self._refuse(graph, self.header_bytes + values)
        self._check_content()

    def _take_header(self, size: int) -> None:
        self.header_bytes = size
        (self.seen,) = struct.unpack_from("<Q" if size == HEADER_BYTES else "<I", self._map, 12)

    def _check_content(self) -> None:
        """Refuse what has the right size but cannot be meant."""
        start = bytes(self._map[:HEAD_BYTES])
        if not any(start) and not any(self._map[-HEAD_BYTES:]):
            raise WeightsError(
                f"{self.path}: there are only zeros at its beginning and end: its room was reserved, but the download "
                "or copy did not finish; get it again"
            )
        swapped = struct.unpack_from(">iii", start)
        if max(self.version) >= _MOST_VERSION and all(0 <= part < _MOST_VERSION for part in swapped):
            raise WeightsError(
                f"{self.path}: its numbers have their bytes the other way round (big-endian: version "
                f"{'.'.join(map(str, swapped))}), as a tool on another kind of computer wrote them; expected "
                "little-endian: swap them with numpy.ndarray.byteswap"
            )

    def _refuse(self, graph: Graph, expected: int) -> NoReturn:
        actual = len(self._map)
        head = bytes(self._map[:HEAD_BYTES])
        kind = what_it_is(head, weights=True)
        if kind is not None:
            raise WeightsError(
                f"{self.path}: this is {kind}, expected the weights of {graph.file} ({expected} bytes): {cure_of(head)}"
            )
        part = "" if len(self.layers) == len(graph.layers) else f"layers 0 to {len(self.layers) - 1} of "
        raise WeightsError(
            f"{self.path}: {actual} bytes, expected {expected} for {part}{graph.file} "
            f"({abs(actual - expected)} bytes too {'many' if actual > expected else 'few'}): "
            f"{likely_cause(graph, self._map, self.header_bytes, self.version)}"
        )

    def _has_count_of(self, header: int) -> bool:
        """Whether the file's fifth number suits a header of that length, where its version says the other.

        Tools write one header and the version of the other. The upper half of a 64-bit count is 0; a value of the
        network hardly is, so that a file cut short by four bytes is not taken for one with the short header.
        """
        (fifth,) = struct.unpack_from("<I", self._map, _OLD_HEADER_BYTES)
        return bool(fifth == 0) == (header == HEADER_BYTES)

    def arrays(self, layer: Layer) -> dict[str, Array]:
        """The float32 arrays of `layer`, as read-only views of the file."""
        at = self._offsets[layer.index]
        found: dict[str, Array] = {}
        for parameter in layer.parameters:
            name, shape = parameter
            count = int(np.prod(shape, dtype=np.int64))
            flat = np.frombuffer(self._map, "<f4", count, at)
            if parameter.role == "weights" and layer.is_stored_transposed(self.version):
                found[name] = flat.reshape(-1, shape[0]).T.reshape(shape)
            else:
                found[name] = flat.reshape(shape)
            at += 4 * count
        return found

    def release(self, layer: Layer) -> None:
        """Let the system drop the pages of `layer`, so that file and packed weights are not both resident."""
        if layer.parameters and not isinstance(self._map, bytes) and hasattr(mmap, "MADV_DONTNEED"):
            page = mmap.PAGESIZE
            start = self._offsets[layer.index] // page * page
            self._map.madvise(mmap.MADV_DONTNEED, start, max(page, 4 * _count(layer.parameters)))

    def close(self) -> None:
        """Unmap the file, once no view of it is left."""
        if not isinstance(self._map, bytes):
            self._map.close()

    def __enter__(self) -> WeightsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SeededWeights:
    """Random weights of a graph from a seed, scaled so that activations stay near 1: for benchmarks and tests.

    They take the memory and time of real weights; what such a network detects means nothing.

    Parameters
    ----------
    graph : Graph
    seed : int
        0 or more.

    Raises
    ------
    OptionError
    """

    def __init__(self, graph: Graph, seed: int = 0) -> None:
        self._graph = graph
        self._seed = as_integer("seed", seed, low=0)

    def arrays(self, layer: Layer) -> dict[str, Array]:
        """The float32 arrays of `layer`, always the same for one seed."""
        random = np.random.default_rng((self._seed, layer.index))
        found: dict[str, Array] = {}
        # Unlike [shortcut], whose weights stay near 1.
        sums = any(parameter.role == "biases" for parameter in layer.parameters)
        for parameter in layer.parameters:
            role, shape = parameter.role, parameter.shape
            count = int(np.prod(shape, dtype=np.int64))
            values = random.random(count, np.float32).reshape(shape)
            if role == "weights" and sums:
                fan_in = count / np.prod(shape[: 2 if layer.kind == "local" else 1])  # filters, of each position
                values = (values - np.float32(0.5)) * np.float32(np.sqrt(12 * 2 / fan_in))
            elif role in ("scales", "variance"):
                values = values * np.float32(0.4) + np.float32(0.8)
            elif role in ("biases", "mean"):
                values = (values - np.float32(0.5)) * np.float32(0.2)
            found[parameter.name] = values
        return found

    def release(self, layer: Layer) -> None:
        """Nothing to drop: arrays are made when asked for."""
