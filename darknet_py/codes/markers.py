"""ArUco and AprilTag markers by OpenCV: a number is told if every bit of the marker is that of its dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.codes.views import View
from darknet_py.codes.zxing import Read
from darknet_py.find_cv2 import find_cv2

__all__ = ["read_markers"]

#: Widths of a marker's black frame, in modules.
_BORDERS = (1, 2)
#: Pixels of a module in the upright marker whose bits are read, and those at each of its sides that are left out.
_MODULE, _EDGE = 12, 3
#: Of the middle of a module, how much has to be of one side: dirt and blur take some.
_CLEAR = 0.8
#: Greys between dark and light modules.
_CONTRAST = 30.0


def read_markers(view: View) -> list[Read]:
    """The markers in a view, each by the first of the dictionaries that know it: the smaller are parts of the larger.

    None where OpenCV is missing, or has no ArUco.
    """
    aruco = getattr(find_cv2(), "aruco", None)
    if not hasattr(aruco, "ArucoDetector"):
        return []
    found: list[Read] = []
    for quad in _quads(view.pixels):
        read = _identified(view, quad)
        if read is not None and not any(_overlap(read, other) for other in found):
            found.append(read)
    return found


@cache
def _dictionaries() -> dict[int, list[tuple[str, Any]]]:
    """Names and dictionaries by the size of their markers, large ones first; of each size the small ones first."""
    aruco: Any = find_cv2().aruco  # type: ignore[union-attr]
    # Two spellings of a name have one value; the later ("36h11", not "36H11") is the one of every version.
    names = {value: name for name, value in sorted(vars(aruco).items()) if name.startswith("DICT_")}
    known = [(name, aruco.getPredefinedDictionary(value)) for value, name in sorted(names.items())]
    known.sort(key=lambda one: (-one[1].markerSize, len(one[1].bytesList)))
    sizes: dict[int, list[tuple[str, Any]]] = {}
    for name, dictionary in known:
        sizes.setdefault(dictionary.markerSize, []).append((name, dictionary))
    return sizes


def _quads(grey: NDArray[np.uint8]) -> Iterator[NDArray[np.float32]]:
    """Dark squares seen from somewhere, whatever is in them."""
    aruco: Any = find_cv2().aruco  # type: ignore[union-attr]
    parameters = aruco.DetectorParameters()
    # Of squares in each other, a marker on its paper, none is left out because of a likelier one.
    parameters.minMarkerDistanceRate = parameters.minGroupDistance = 0.0
    detector = aruco.ArucoDetector(next(iter(_dictionaries().values()))[0][1], parameters)
    taken, _, others = detector.detectMarkers(np.ascontiguousarray(grey))
    for quad in (*taken, *others):
        yield quad.reshape(4, 2)


def _identified(view: View, quad: NDArray[np.float32]) -> Read | None:
    """The marker whose corners these are."""
    for border in _BORDERS:
        for size, dictionaries in _dictionaries().items():
            bits = _bits(view.pixels, quad, size + 2 * border)
            if bits is None or bits.sum() != bits[border:-border, border:-border].sum():  # the frame is black
                continue
            for name, dictionary in dictionaries:
                known, number, turns = dictionary.identify(bits[border:-border, border:-border].copy(), 0.0)
                if known:
                    corners = np.concatenate([np.roll(quad, turns, axis=0) + 0.5, np.ones((4, 1))], axis=1)
                    return Read(f"ArUco {name}", str(number), corners @ view.back.T)
    return None


def _bits(grey: NDArray[np.uint8], quad: NDArray[np.float32], modules: int) -> NDArray[np.uint8] | None:
    """What a square of so many modules shows, brought upright; None if it is not clear everywhere."""
    cv2: Any = find_cv2()
    side = modules * _MODULE
    square = np.array(((0, 0), (side, 0), (side, side), (0, side)), np.float32)
    upright = cv2.warpPerspective(grey, cv2.getPerspectiveTransform(quad, square), (side, side))
    cells = upright.reshape(modules, _MODULE, modules, _MODULE).swapaxes(1, 2)[..., _EDGE:-_EDGE, _EDGE:-_EDGE]
    limit, _ = cv2.threshold(np.ascontiguousarray(cells).reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    light = cells > limit
    if light.all() or not light.any() or cells[light].mean() - cells[~light].mean() < _CONTRAST:
        return None
    share = light.mean(axis=(2, 3))
    bits: NDArray[np.uint8] = (share > 0.5).astype(np.uint8)
    return bits if (np.maximum(share, 1 - share) >= _CLEAR).all() else None


def _overlap(one: Read, other: Read) -> bool:
    a, b = one.corners.mean(axis=0), other.corners.mean(axis=0)
    return bool(np.linalg.norm(a - b) < 0.5 * np.ptp(other.corners, axis=0).max())
