"""The C structures of Darknet's Python module, laid out as AlexeyAB's library has them."""

from __future__ import annotations

import ctypes as ct
from typing import Any

import numpy as np
import numpy.typing as npt

from darknet_py.errors import OptionError

__all__ = ["BOX", "DETECTION", "DETNUMPAIR", "IMAGE", "METADATA", "c_array", "floats_of"]

_Floats = ct.POINTER(ct.c_float)


class BOX(ct.Structure):
    """Centre, width and height."""

    _fields_ = (("x", ct.c_float), ("y", ct.c_float), ("w", ct.c_float), ("h", ct.c_float))


class DETECTION(ct.Structure):
    """A box with the probability of every class; what is of no use here (mask, uc, embeddings) stays null."""

    _fields_ = (
        ("bbox", BOX),
        ("classes", ct.c_int),
        ("best_class_idx", ct.c_int),
        ("prob", _Floats),
        ("mask", _Floats),
        ("objectness", ct.c_float),
        ("sort_class", ct.c_int),
        ("uc", _Floats),
        ("points", ct.c_int),
        ("embeddings", _Floats),
        ("embedding_size", ct.c_int),
        ("sim", ct.c_float),
        ("track_id", ct.c_int),
    )


class DETNUMPAIR(ct.Structure):
    """The detections of one image of a batch; nothing here makes one, but scripts mention it."""

    _fields_ = (("num", ct.c_int), ("dets", ct.POINTER(DETECTION)))


class IMAGE(ct.Structure):
    """Planes of float32 in [0, 1], channel after channel, (c, h, w)."""

    _fields_ = (("w", ct.c_int), ("h", ct.c_int), ("c", ct.c_int), ("data", _Floats))
    w: int
    h: int
    c: int
    data: Any


class METADATA(ct.Structure):
    """How many classes there are, and their names as bytes."""

    _fields_ = (("classes", ct.c_int), ("names", ct.POINTER(ct.c_char_p)))
    classes: int
    names: Any


def c_array(ctype: Any, values: Any) -> Any:
    """A ctypes array of `values`, as the first versions of the module had it."""
    array = (ctype * len(values))()
    array[:] = values
    return array


def floats_of(data: Any, shape: tuple[int, ...], what: str) -> npt.NDArray[np.float32]:
    """The float32 values that a pointer, a ctypes array or an ndarray holds, without a copy where possible.

    Raises
    ------
    OptionError
        It is none of them, is null, or holds another number of values.
    """
    size = int(np.prod(shape))
    if isinstance(data, np.ndarray):
        values = np.ascontiguousarray(data, np.float32)
    elif isinstance(data, ct.Array):
        values = np.asarray(np.ctypeslib.as_array(data), np.float32)
    elif isinstance(data, _Floats):
        if not data:
            raise OptionError(f"{what}: a null pointer (an image that was freed?), expected {size} float32 values")
        return np.ctypeslib.as_array(data, shape)
    else:
        raise OptionError(f"{what} of type {type(data).__name__}: expected a pointer to {size} float32 values")
    if values.size != size:
        raise OptionError(f"{what}: {values.size} values, expected {size} ({' x '.join(map(str, shape))})")
    return values.reshape(shape)
