"""Whether a barcode looks as what it was read as is printed: sharpened noise is misread alike in several views."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from darknet_py.codes.bars import LIGHT, Bars, Floats, even_light

__all__ = ["likeness", "looks_like"]

#: Samples a module, and modules beside the code, of what is compared.
_SAMPLES, _BESIDE = 4, 10
#: Modules by which the ends of a code may be elsewhere than the reader tells.
_ENDS = (-1.0, 0.0, 1.0)
#: Share of a code by which its middle may be beside that of its ends, as on cans and from aslant; steps in modules.
_BENT, _STEP = 0.09, 0.75
#: Blurs, in modules, of which one is like the picture's.
_SOFT = (0.2, 0.5, 0.8, 1.1)
#: Lowest correlation of a picture with what it is read as. Of 25 right texts that views agreed about the worst had .91,
#: of wrong ones the highest .71. A text with one pair of digits wrong may have .96, but not the votes.
_LIKE = 0.85
#: Most modules of what is compared: bars sharpened are not read from about 150 on, and time grows with the square.
_MOST = 200


def looks_like(bars: Bars, corners: Floats, modules: NDArray[np.bool_]) -> bool:
    """Whether the bars between the corners of a read are those that its text is printed as.

    Parameters
    ----------
    bars : Bars
    corners : ndarray, shape (4, 2)
        In pixels of the picture: the code's top left, top right, bottom right, bottom left.
    modules : ndarray, shape (N,), bool
        From left to right, which are light.
    """
    return len(modules) <= _MOST and likeness(bars, corners, modules) >= _LIKE


def likeness(bars: Bars, corners: Floats, modules: NDArray[np.bool_]) -> float:
    """The correlation that `looks_like` judges by: of five lines through the code the first that suffices, or best."""
    inverse = np.linalg.inv(bars.back[:, :2])
    top_left, top_right, bottom_right, bottom_left = (corners - bars.back[:, 2]) @ inverse.T
    wanted = _printed(modules)
    best = -1.0
    for down in (0.5, 0.25, 0.75, 0.0, 1.0):
        left = top_left + down * (bottom_left - top_left)
        right = top_right + down * (bottom_right - top_right)
        shifted = _standard(_shifted(_line(bars.rows, left, right, len(modules)), len(modules)))
        best = max(best, float((shifted @ wanted.T).max()) / wanted.shape[1])
        if best >= _LIKE:
            break
    return best


def _printed(modules: NDArray[np.bool_]) -> Floats:
    """A code as it looks through several blurs, each with mean 0 and deviation 1."""
    light = np.pad(modules.astype(np.float64), _BESIDE, constant_values=1.0).repeat(_SAMPLES)
    reach = math.ceil(4 * _SAMPLES * max(_SOFT))
    at = np.arange(-reach, reach + 1)
    soft = []
    for blur in _SOFT:
        gauss = np.exp(-0.5 * (at / (blur * _SAMPLES)) ** 2)
        soft.append(np.convolve(np.pad(light, reach, mode="edge"), gauss / gauss.sum(), "valid"))
    inside = slice(_BESIDE * _SAMPLES, -_BESIDE * _SAMPLES)
    return _standard(even_light(np.array(soft), LIGHT * _SAMPLES)[:, inside])


def _line(rows: Floats, left: Floats, right: Floats, modules: int) -> Floats:
    """Greys from one end of a code to the other and some modules beside it, light made even."""
    count = (modules + 2 * _BESIDE) * _SAMPLES
    along = ((np.arange(count) + 0.5) / _SAMPLES - _BESIDE) / modules
    x = (left[0] + along * (right[0] - left[0]) - 0.5).clip(0, rows.shape[1] - 1)
    y = (left[1] + along * (right[1] - left[1])).astype(np.int64).clip(0, rows.shape[0] - 1)
    before = np.floor(x).astype(np.int64).clip(0, rows.shape[1] - 2)
    greys = rows[y, before] + (x - before) * (rows[y, before + 1] - rows[y, before])
    even: Floats = even_light(greys[None], LIGHT * _SAMPLES)[0]
    return even


def _shifted(line: Floats, modules: int) -> Floats:
    """A line with both its ends and its middle shifted, in every way."""
    count = modules * _SAMPLES
    along = (np.arange(count) + 0.5) / count
    most = math.ceil(_BENT * modules / _STEP)
    bends = _STEP * np.arange(-most, most + 1)
    first, last, bend = (part.reshape(-1, 1) for part in np.meshgrid(_ENDS, _ENDS, bends))
    at = (_BESIDE + along * modules + first * (1 - along) + last * along + bend * 4 * along * (1 - along)) * _SAMPLES
    shifted: Floats = np.interp(at - 0.5, np.arange(len(line)), line)
    return shifted


def _standard(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=1, keepdims=True)
    standard: Floats = centred / (centred.std(axis=1, keepdims=True) + 1e-9)
    return standard
