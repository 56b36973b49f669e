"""Arrays per layer → weights file: the counterpart of `WeightsFile`, for trainers, converters and cutters."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.arguments import as_integer
from darknet_py.errors import WeightsError
from darknet_py.files import WholeFile
from darknet_py.graph import Graph
from darknet_py.layers import Layer
from darknet_py.weights import HEADER_BYTES, WeightsSource, has_wide_count
from darknet_py.weights_loaded import LoadedWeights

__all__ = ["save_weights", "write_weights"]

Arrays = Mapping[int, Mapping[str, Any]]


def write_weights(
    path: str | Path,
    graph: Graph,
    arrays: Arrays | WeightsSource,
    seen: int = 0,
    version: tuple[int, int, int] = (0, 2, 5),
) -> None:
    """Write the weights of a graph as a Darknet file.

    The file appears under its name only once it is whole; on failure an older file of that name stays as it was.

    Parameters
    ----------
    path : str or Path
    graph : Graph
        Gives the order and the shapes.
    arrays : mapping of int to mapping of str to array, or WeightsSource
        Layer index → parameter name → values, of the shapes in `Layer.parameters`; stored as float32. Layers without
        parameters may be left out.
    seen : int
        Training images seen so far, from which Darknet resumes its schedule.
    version : (int, int, int)
        Major, minor and revision. Below 0.2 the count of images has 32 bits; with major or minor above 1000 connected
        layers are stored transposed.

    Raises
    ------
    WeightsError
        If an array is missing, belongs to no layer, has another shape, or holds a value that float32 cannot; if the
        header's numbers do not fit; if the file cannot be written.
    """
    path = Path(path)
    header = _header(version, seen, has_wide_count(version))
    if isinstance(arrays, Mapping):
        _refuse_strangers(graph, arrays)
    try:
        with WholeFile(path, lasting=True, rescue=True) as file:
            _write(file, header, graph.layers, arrays, version, finite=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot write the weights: {error.strerror or error}") from error


def save_weights(
    path: str | Path,
    weights: LoadedWeights,
    *,
    upto: int | None = None,
    version: tuple[int, int, int] | None = None,
    seen: int | None = None,
) -> None:
    """Write what `load_weights` read, changed or not; unchanged it is the same file, to the byte.

    The file appears under its name only once it is whole; on failure an older file of that name stays as it was.

    Parameters
    ----------
    path : str or Path
    weights : LoadedWeights
    upto : int, optional
        Write the first so many layers alone, as ``darknet partial`` does for a training to start from: 74 makes
        ``darknet53.conv.74``. (Darknet sets version 0.2.5 and `seen` 0 in such files.)
    version : (int, int, int), optional
        Another than that of the file; the header and what it means for connected layers are converted.
    seen : int, optional
        Another count of training images.

    Raises
    ------
    WeightsError
        If an array is missing, has another shape or is no array of numbers; if the header's numbers do not fit; if
        the file cannot be written.
    OptionError
        If `upto` is no number of layers that are there.
    """
    path, graph = Path(path), weights.graph
    layers = graph.layers if upto is None else graph.layers[: as_integer("upto", upto, low=1, high=len(graph.layers))]
    wide = weights.header_bytes == HEADER_BYTES if version is None else has_wide_count(version)
    version = weights.version if version is None else version
    header = _header(version, weights.seen if seen is None else seen, wide)
    if upto is None:
        layers = tuple(layer for layer in layers if layer.index <= max(weights.values, default=0))
    try:
        with WholeFile(path, lasting=True, rescue=True) as file:
            _write(file, header, layers, weights, version, finite=False)
    except OSError as error:
        raise WeightsError(f"{path}: cannot write the weights: {error.strerror or error}") from error


def _header(version: tuple[int, int, int], seen: int, wide: bool) -> bytes:
    try:
        return struct.pack("<iiiQ" if wide else "<iiiI", *version, seen)
    except struct.error as error:
        raise WeightsError(
            f"version={version}, seen={seen}: expected three 32-bit integers and a count from 0 to "
            f"2**{64 if wide else 32} - 1"
        ) from error


def _refuse_strangers(graph: Graph, arrays: Arrays) -> None:
    """Arrays that would silently not be written most likely belong to another cfg."""
    known = {layer.index: {p.name for p in layer.parameters} for layer in graph.layers}
    for index, found in arrays.items():
        stray = sorted(set(found) - known.get(index, set()))
        if index not in known or stray:
            raise WeightsError(
                f"{graph.file}: arrays {', '.join(stray) or '(none)'} are given for layer {index}, which "
                f"{'has no such parameters' if index in known else 'does not exist'}: were they made for another cfg?"
            )


def _write(
    file: WholeFile,
    header: bytes,
    layers: Sequence[Layer],
    arrays: Arrays | WeightsSource,
    version: tuple[int, int, int],
    *,
    finite: bool,
) -> None:
    file.write(header)
    for layer in layers:
        if not layer.parameters:
            continue
        found = arrays.get(layer.index, {}) if isinstance(arrays, Mapping) else arrays.arrays(layer)
        for values in _stored(layer, found, version, finite):
            file.write(values.tobytes())
        if not isinstance(arrays, Mapping):
            arrays.release(layer)


def _stored(
    layer: Layer, found: Mapping[str, Any], version: tuple[int, int, int], finite: bool
) -> Iterator[NDArray[np.float32]]:
    """The arrays of a layer as the file holds them, each checked; values only where they must be `finite`."""
    for parameter in layer.parameters:
        name, shape = parameter
        if name not in found:
            raise WeightsError(
                f"{layer.where}: no array '{name}'; expected {', '.join(p.name for p in layer.parameters)}"
            )
        values = _as_floats(layer, name, found[name])
        if values.shape != shape:
            raise WeightsError(f"{layer.where}: '{name}' has shape {values.shape}, expected {shape}")
        if finite and not np.isfinite(values).all():
            raise WeightsError(
                f"{layer.where}: '{name}' holds {np.count_nonzero(~np.isfinite(values))} values that are not finite "
                "in float32: the training has diverged"
            )
        transposed = parameter.role == "weights" and layer.is_stored_transposed(version)
        yield values.reshape(shape[0], -1).T if transposed else values


def _as_floats(layer: Layer, name: str, values: Any) -> NDArray[np.float32]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise WeightsError(f"{layer.where}: '{name}' has dtype {array.dtype}, expected float32")
    with np.errstate(over="ignore"):  # reported as not finite
        return array.astype("<f4", copy=False)
