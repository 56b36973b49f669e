"""ArUco and AprilTag markers by OpenCV: a number is told if every bit of the marker is that of its dictionary."""

from __future__ import annotations

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
#: Pixels of a module in the upright marker whose bits are compared, and the share of it at each side that is left out.
_MODULE, _EDGE = 12, 0.25
#: Of the middle of a module, how much has to be as it is printed: dirt and blur take some.
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
    for border in _BORDERS:
        for name, detector, dictionary in _detectors(border):
            corners, numbers, _ = detector.detectMarkers(np.ascontiguousarray(view.pixels))
            for quad, number in zip(corners, [] if numbers is None else numbers.ravel().tolist(), strict=False):
                if not _confirmed(view.pixels, quad.reshape(4, 2), dictionary, number, border):
                    continue
                corners_back = np.concatenate([quad.reshape(4, 2) + 0.5, np.ones((4, 1))], axis=1) @ view.back.T
                read = Read(f"ArUco {name}", str(number), corners_back)
                if not any(_overlap(read, other) for other in found):
                    found.append(read)
    return found


@cache
def _detectors(border: int) -> tuple[tuple[str, Any, Any], ...]:
    """Name, detector and dictionary; of a family the small before the large ones, large markers before small."""
    aruco: Any = find_cv2().aruco  # type: ignore[union-attr]
    # Two spellings of a name have one value; the later ("36h11", not "36H11") is the one of every version.
    numbers = {value: name for name, value in sorted(vars(aruco).items()) if name.startswith("DICT_")}
    known = [(name, aruco.getPredefinedDictionary(value)) for value, name in sorted(numbers.items())]
    # Chance makes the bits of a small marker of any square; those of a large one it doesn't.
    known.sort(key=lambda one: (-one[1].markerSize, len(one[1].bytesList)))
    made = []
    for name, dictionary in known:
        parameters = aruco.DetectorParameters()
        parameters.markerBorderBits = border
        parameters.errorCorrectionRate = 0.0
        made.append((name, aruco.ArucoDetector(dictionary, parameters), dictionary))
    return tuple(made)


def _confirmed(grey: NDArray[np.uint8], quad: NDArray[np.float32], dictionary: Any, number: int, border: int) -> bool:
    """Whether every module, brought upright, is as it is printed."""
    cv2: Any = find_cv2()
    modules = dictionary.markerSize + 2 * border
    side = modules * _MODULE
    square = np.array(((0, 0), (side, 0), (side, side), (0, side)), np.float32)
    upright = cv2.warpPerspective(grey, cv2.getPerspectiveTransform(quad, square), (side, side))
    printed = cv2.aruco.generateImageMarker(dictionary, number, modules, borderBits=border) > 0
    edge = round(_EDGE * _MODULE)
    cells = upright.reshape(modules, _MODULE, modules, _MODULE).swapaxes(1, 2)[..., edge:-edge, edge:-edge]
    means = cells.mean(axis=(2, 3))
    dark, light = means[~printed], means[printed]
    if not len(light) or light.mean() - dark.mean() < _CONTRAST:
        return False
    limit = (dark.mean() + light.mean()) / 2
    share = ((cells > limit) == printed[..., None, None]).mean(axis=(2, 3))
    return bool((share >= _CLEAR).all())


def _overlap(one: Read, other: Read) -> bool:
    a, b = one.corners.mean(axis=0), other.corners.mean(axis=0)
    return bool(np.linalg.norm(a - b) < 0.5 * np.ptp(other.corners, axis=0).max())
