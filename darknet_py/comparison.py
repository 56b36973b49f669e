"""Two sets of layers' outputs side by side, and the file that holds one: what ``dump`` writes and ``compare`` reads.

A dump is an ``.npz`` file: ``input`` is the blob, ``layer_0``, ``layer_1``, ... are the layers' outputs, all float32,
(C, H, W) as `Network.run` gives them; ``about`` is text. Written by another program, a layer may also be flat, as it
lies in Darknet's memory, and layers may be missing.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.classifier import centre_crop
from darknet_py.errors import OptionError, OutputError, UnsupportedError
from darknet_py.files import WholeFile
from darknet_py.graph import Graph
from darknet_py.layers import Layer
from darknet_py.pictures.blob import to_blob
from darknet_py.pictures.load import load_image
from darknet_py.pictures.resizing import Resizing

__all__ = ["Difference", "Dump", "compare_layers", "prepare_blob", "read_dump", "write_dump"]

Floats = NDArray[np.float32]

#: What NumPy and the archive raise over files that are cut, damaged, empty or of another kind. An .npy file is no
#: context manager: a TypeError, up to Python 3.10 an AttributeError.
_UNREADABLE = (
    OSError, ValueError, TypeError, AttributeError, EOFError, MemoryError, OverflowError, RuntimeError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """How far two outputs of a layer are apart.

    Attributes
    ----------
    index : int
        Of the layer.
    kind : str
    shape : (int, int, int)
        (C, H, W).
    largest : float
        The largest magnitude of the reference.
    absolute : float
        The largest difference; infinite where only one of the two has a finite value.
    relative : float
        `absolute` by `largest`.
    """

    index: int
    kind: str
    shape: tuple[int, int, int]
    largest: float
    absolute: float
    relative: float


@dataclass(frozen=True, eq=False)
class Dump:
    """What a dump holds; `blob` is None where it says nothing of the input."""

    layers: dict[int, Floats]
    blob: Floats | None
    about: str


def prepare_blob(graph: Graph, picture: str | Path) -> Floats:
    """The blob (C, H, W) that a Detector, or a Classifier, makes of a picture; of an ``.npy`` file as it is.

    Raises
    ------
    ImageError, UnsupportedError, OptionError
    """
    c, h, w = graph.blob
    if str(picture).endswith(".npy"):
        return _read_blob(picture, graph)
    if graph.no_pictures:
        raise UnsupportedError(f"{graph.file}: {graph.no_pictures}: give the blob ({c}, {h}, {w}) as an .npy file")
    pixels = load_image(picture, channels=c)
    if graph.heads or graph.output.shape.h * graph.output.shape.w > 1:
        return np.ascontiguousarray(to_blob(pixels, w, h, letterbox=graph.letter_box).transpose(2, 0, 1))
    blob = np.empty((h, w, c), np.float32)
    Resizing(pixels, blob, False, centre_crop(pixels.shape, blob.shape)).run()
    return np.ascontiguousarray(blob.transpose(2, 0, 1))


def _read_blob(path: str | Path, graph: Graph) -> Floats:
    try:
        blob = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise OptionError(f"{path}: no blob can be read: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(blob, np.ndarray):
        blob.close()
        raise OptionError(f"{path}: an archive of arrays, expected one array, as numpy.save writes it")
    if blob.shape != tuple(graph.blob) or blob.dtype != np.float32:
        raise OptionError(
            f"{path}: an array of shape {blob.shape} and dtype {blob.dtype}, expected {tuple(graph.blob)}, float32"
        )
    found: Floats = blob
    return found


def compare_layers(
    layers: Sequence[Layer], found: Mapping[int, Floats], reference: Mapping[int, Floats]
) -> list[Difference]:
    """How far outputs (C, H, W) are from those of a reference, for every layer that both have.

    Raises
    ------
    OptionError
        If two outputs of a layer have not the same number of values.
    """
    return [
        _difference(layer, found[layer.index], reference[layer.index])
        for layer in layers
        if layer.index in found and layer.index in reference
    ]


def _difference(layer: Layer, found: Floats, reference: Floats) -> Difference:
    if reference.ndim == 1 and reference.size == found.size:  # as it lies in Darknet's memory
        c, h, w = found.shape
        cells = layer.kind == "region"
        reference = reference.reshape(h, w, c).transpose(2, 0, 1) if cells else reference.reshape(found.shape)
    if reference.shape != found.shape:
        raise OptionError(
            f"{layer.where}: the reference has shape {reference.shape}, expected {found.shape} (C, H, W): is it of "
            "another cfg or size?"
        )
    largest, absolute = _magnitude(reference), _distance(found, reference)
    relative = absolute / largest if largest else 0.0 if absolute == 0 else float("inf")
    c, h, w = layer.shape
    return Difference(layer.index, layer.kind, (c, h, w), largest, absolute, relative)


def _magnitude(values: Floats) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0


def _distance(found: Floats, reference: Floats) -> float:
    same = (found == reference) | (np.isnan(found) & np.isnan(reference))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(found.astype(np.float64) - reference)[~same]
    return float(apart.max()) if np.isfinite(apart).all() else float("inf")


def write_dump(path: str | Path, dump: Dump) -> None:
    """Write a dump; it appears under its name only once it is whole (see `WholeFile`).

    Raises
    ------
    OutputError
    """
    arrays: dict[str, NDArray[Any]] = {"about": np.array(dump.about)}
    arrays |= {f"layer_{index}": values for index, values in dump.layers.items()}
    if dump.blob is not None:
        arrays["input"] = dump.blob
    try:
        # Not numpy.savez: after an error, some versions leave an archive that goes on writing when it is collected.
        with WholeFile(path, lasting=True) as file, zipfile.ZipFile(_Stream(file), "w") as archive:
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, values, allow_pickle=False)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot write the dump: {cause}") from error


class _Stream(io.RawIOBase):
    """A file under construction as an archive writes to it."""

    def __init__(self, file: WholeFile) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._file.write(data)
        return memoryview(data).nbytes


def read_dump(path: str | Path) -> Dump:
    """Read what `write_dump` wrote, or another program in its layout.

    Raises
    ------
    OptionError
        If the file cannot be read, or holds no layer.
    """
    layers: dict[int, Floats] = {}
    blob, about = None, ""
    try:
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                if layer := re.fullmatch(r"layer_(\d{1,9})", name):
                    layers[int(layer[1])] = file[name].astype(np.float32, copy=False)
                elif name == "input":
                    blob = file[name]
                elif name == "about":
                    about = str(file[name])
    except _UNREADABLE as error:
        cause = getattr(error, "strerror", None) or "it is no .npz file"
        raise OptionError(f"{path}: cannot be read as a dump: {cause}: darknet-py dump writes one") from error
    if not layers:
        raise OptionError(f"{path}: no layer in it: expected arrays layer_0, layer_1, ..., as darknet-py dump writes")
    return Dump(layers, blob, about)
