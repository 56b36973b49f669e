"""From head maps to candidate boxes: what ``get_network_boxes`` does in Darknet.

Stands between the network, whose maps are already activated, and ``nms``. A head type is one row of ``_HEADS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from darknet_py.boxes.kernels.candidates import (
    count_objects,
    fill_detection,
    fill_gaussian,
    fill_region,
    fill_yolo,
)
from darknet_py.errors import OptionError, UnsupportedError

if TYPE_CHECKING:
    from darknet_py.layers.heads import Detection, GaussianYolo, Head, Region, Yolo
    from darknet_py.pictures.geometry import Geometry

__all__ = ["Candidates", "anchor_array", "decode", "join"]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes with the probability of every class, before or after suppression.

    Attributes
    ----------
    cxcywh : ndarray, shape (n, 4), float32
        Centre, width and height as fractions of the image (letterbox undone, but of [detection]); not clipped to it.
    objectness : ndarray, shape (n,), float32
    probs : ndarray, shape (n, classes), float32
        0 where not above the threshold, or suppressed.
    """

    cxcywh: Float32Array
    objectness: Float32Array
    probs: Float32Array

    @classmethod
    def allocate(cls, boxes: int, classes: int) -> Candidates:
        """Arrays of that size, yet to be filled."""
        return cls(
            np.empty((boxes, 4), np.float32), np.empty(boxes, np.float32), np.empty((boxes, classes), np.float32)
        )

    def __len__(self) -> int:
        return len(self.cxcywh)


def decode(heads: Sequence[tuple[Head, Float32Array]], geometry: Geometry, thresh: float) -> Candidates:
    """Turn the maps of a network's heads into candidate boxes, in Darknet's order.

    Parameters
    ----------
    heads : sequence of (layer, ndarray of shape (h, w, c), float32)
        Head layers in cfg order, each with its activated map, channels last and anchor after anchor. A map may be
        a slice of a wider buffer (pixel stride above c); it is only read.
    geometry : Geometry
        How the image was fitted into the network.
    thresh : float, in [0, 1]
        [yolo] and [Gaussian_yolo] boxes need an objectness above it, and every class a probability above it.

    Returns
    -------
    Candidates
        Heads in order, cells row by row, anchors innermost. [region] gives all its boxes with objectness 1, [detection]
        all its boxes, which are fractions of the network's input even of a letterboxed image, as in Darknet.
        Where heads differ in their classes the missing probabilities are 0.

    Raises
    ------
    OptionError
        A threshold outside [0, 1], or a map whose channels are not what its layer says.
    UnsupportedError
        A layer that is not a head this function knows.

    Notes
    -----
    Matches ``get_network_boxes(..., relative=1, letter)`` of AlexeyAB/darknet, except that the tree of a [region]
    is followed on a copy: Darknet multiplies its own output, and a second call multiplies once more.
    """
    if not 0 <= thresh <= 1:
        raise OptionError(f"thresh={thresh!r}: expected a probability between 0 and 1")
    thresh = float(thresh)  # an int would be another compiled version
    maps = [(layer, _check(layer, head_map)) for layer, head_map in heads]
    counts = [_HEADS[layer.kind].boxes(layer, head_map, thresh) for layer, head_map in maps]
    found = Candidates.allocate(sum(counts), max((layer.classes for layer, _ in maps), default=0))
    first = 0
    for (layer, head_map), count in zip(maps, counts, strict=True):
        if count:
            _HEADS[layer.kind].fill(layer, head_map, geometry, thresh, first, found)
            # A frame is none of Darknet's: it is undone for all.
            if geometry.frame or (geometry.letterbox and _HEADS[layer.kind].is_placed):
                boxes = found.cxcywh[first : first + count]
                boxes[:] = geometry.to_image(boxes)
        first += count
    return found


def join(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of several looks at one picture, at least one, as one and in their order."""
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        np.concatenate([part.cxcywh for part in parts]),
        np.concatenate([part.objectness for part in parts]),
        np.concatenate([part.probs for part in parts]),
    )


def _check(layer: Head, head_map: Float32Array) -> Float32Array:
    """The map, after making sure that it is one of this layer."""
    if layer.kind not in _HEADS:
        raise UnsupportedError(f"[{layer.kind}] gives no boxes: expected a head, one of {', '.join(_HEADS)}")
    channels = layer.map_channels
    if head_map.ndim != 3 or head_map.shape[2] != channels:
        raise OptionError(
            f"map of [{layer.kind}] has shape {head_map.shape}: expected (h, w, {channels}), channels last"
        )
    return np.asarray(head_map, np.float32)


@lru_cache(maxsize=64)
def anchor_array(used_anchors: tuple[tuple[float, float], ...]) -> Float32Array:
    """`Head.used_anchors` as an array (m, 2)."""
    return np.asarray(used_anchors, np.float32)


# Head types ---------------------------------------------------------------------------------------------------


def _count_objects(layer: Head, head_map: Float32Array, thresh: float) -> int:
    return int(count_objects(head_map, layer.num, layer.entries, layer.objectness, thresh))


def _fill_yolo(
    layer: Yolo, head_map: Float32Array, geometry: Geometry, thresh: float, first: int, found: Candidates
) -> None:
    fill_yolo(
        head_map, anchor_array(layer.used_anchors), geometry.net_width, geometry.net_height,
        bool(layer.new_coords), layer.classes, thresh, first, found.cxcywh, found.objectness, found.probs,
    )  # fmt: skip


def _fill_gaussian(
    layer: GaussianYolo, head_map: Float32Array, geometry: Geometry, thresh: float, first: int, found: Candidates
) -> None:
    shift = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}[layer.yolo_point]
    fill_gaussian(
        head_map, anchor_array(layer.used_anchors), geometry.net_width, geometry.net_height,
        shift, layer.classes, thresh, first, found.cxcywh, found.objectness, found.probs,
    )  # fmt: skip


def _count_all(layer: Head, head_map: Float32Array, thresh: float) -> int:
    return int(head_map.shape[0] * head_map.shape[1] * layer.num)


def _fill_region(
    layer: Region, head_map: Float32Array, geometry: Geometry, thresh: float, first: int, found: Candidates
) -> None:
    parents = np.asarray(layer.tree.parents if layer.tree is not None else (), np.int64)
    fill_region(
        head_map, anchor_array(layer.used_anchors), layer.coords, layer.classfix == -1,
        parents, layer.classes, thresh, first, found.cxcywh, found.objectness, found.probs,
    )  # fmt: skip


def _count_boxes(layer: Detection, head_map: Float32Array, thresh: float) -> int:
    return layer.side**2 * layer.num


def _fill_detection(
    layer: Detection, head_map: Float32Array, geometry: Geometry, thresh: float, first: int, found: Candidates
) -> None:
    fill_detection(
        head_map[0, 0], layer.side, layer.num, bool(layer.sqrt), layer.classes,
        thresh, first, found.cxcywh, found.objectness, found.probs,
    )  # fmt: skip


class _Head(NamedTuple):
    """What there is to know of a type of head: how many boxes its map gives, and which.

    And whether Darknet places them in the image where that was letterboxed.
    """

    boxes: Callable[[Any, Float32Array, float], int]
    fill: Callable[[Any, Float32Array, Geometry, float, int, Candidates], None]
    is_placed: bool = True


_HEADS: dict[str, _Head] = {
    "yolo": _Head(_count_objects, _fill_yolo),
    "Gaussian_yolo": _Head(_count_objects, _fill_gaussian),
    "region": _Head(_count_all, _fill_region),
    "detection": _Head(_count_boxes, _fill_detection, is_placed=False),
}
