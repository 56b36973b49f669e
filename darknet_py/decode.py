"""From head maps to candidate boxes: what ``get_network_boxes`` does in Darknet.

Stands between the network, whose maps are already activated, and ``nms``. A head type is one row of ``_DECODERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.kernels.decode import count_objects, fill_gaussian, fill_region, fill_yolo

if TYPE_CHECKING:
    from darknet_py.image import Geometry
    from darknet_py.layers.base import Layer
    from darknet_py.layers.heads import GaussianYolo, Region, Yolo

__all__ = ["Candidates", "decode"]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes with the probability of every class, before or after suppression.

    Attributes
    ----------
    cxcywh : ndarray, shape (n, 4), float32
        Centre, width and height as fractions of the image (letterbox undone); not clipped to it.
    objectness : ndarray, shape (n,), float32
    probs : ndarray, shape (n, classes), float32
        0 where not above the threshold, or suppressed.
    """

    cxcywh: Float32Array
    objectness: Float32Array
    probs: Float32Array

    def __len__(self) -> int:
        return len(self.cxcywh)


class _Map(NamedTuple):
    """A head's map (h, w, c) as its flat memory and the distances in it, in float32 numbers."""

    values: Float32Array
    row_stride: int
    pixel_stride: int
    height: int
    width: int


def decode(heads: Sequence[tuple[Layer, Float32Array]], geometry: Geometry, thresh: float) -> Candidates:
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
        Heads in order, cells row by row, anchors innermost. [region] gives all its boxes with objectness 1.
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
    parts = []
    for layer, head_map in heads:
        if layer.kind not in _DECODERS:
            raise UnsupportedError(f"[{layer.kind}] gives no boxes: expected a head, one of {', '.join(_DECODERS)}")
        parts.append(_DECODERS[layer.kind](layer, head_map, geometry, np.float32(thresh)))
    joined = _join(parts)
    if not geometry.letterbox:
        return joined
    return replace(joined, cxcywh=geometry.to_image(joined.cxcywh))


def _yolo(layer: Yolo, head_map: Float32Array, geometry: Geometry, thresh: np.float32) -> Candidates:
    entries = 5 + layer.classes
    flat = _flatten(layer, head_map, len(layer.mask) * entries)
    found = _empty(count_objects(*flat, len(layer.mask), entries, 4, thresh), layer.classes)
    anchors, unit = _masked_anchors(layer, geometry)
    fill_yolo(*flat, anchors, unit, bool(layer.new_coords), thresh, found.cxcywh, found.objectness, found.probs)
    return found


def _gaussian(layer: GaussianYolo, head_map: Float32Array, geometry: Geometry, thresh: np.float32) -> Candidates:
    entries = 9 + layer.classes
    flat = _flatten(layer, head_map, len(layer.mask) * entries)
    found = _empty(count_objects(*flat, len(layer.mask), entries, 8, thresh), layer.classes)
    anchors, unit = _masked_anchors(layer, geometry)
    shift = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}[layer.yolo_point]
    fill_gaussian(*flat, anchors, unit, shift, thresh, found.cxcywh, found.objectness, found.probs)
    return found


def _region(layer: Region, head_map: Float32Array, geometry: Geometry, thresh: np.float32) -> Candidates:
    flat = _flatten(layer, head_map, layer.num * (layer.coords + 1 + layer.classes))
    found = _empty(flat.height * flat.width * layer.num, layer.classes)
    found.objectness[:] = 1
    anchors = np.asarray(layer.anchors, np.float32).reshape(-1, 2)[: layer.num]
    unit = np.array((flat.width, flat.height), np.float32)
    parents = np.asarray(layer.tree.parents if layer.tree is not None else (), np.int64)
    drop_below_half = layer.classfix == -1
    fill_region(*flat, anchors, unit, layer.coords, drop_below_half, parents, thresh, found.cxcywh, found.probs)
    return found


_DECODERS: dict[str, Callable[[Any, Float32Array, Geometry, np.float32], Candidates]] = {
    "yolo": _yolo,
    "Gaussian_yolo": _gaussian,
    "region": _region,
}


def _flatten(layer: Layer, head_map: Float32Array, channels: int) -> _Map:
    """The map's memory as one flat array, without a copy where the strides allow it."""
    if head_map.ndim != 3 or head_map.shape[2] != channels:
        raise OptionError(
            f"map of [{layer.kind}] has shape {head_map.shape}: expected (h, w, {channels}), channels last"
        )
    height, width, _ = head_map.shape
    if head_map.flags.c_contiguous and head_map.dtype == np.float32:
        values = head_map.reshape(-1)
        values.flags.writeable = False  # always, so that the kernels meet one array type
        return _Map(values, width * channels, channels, height, width)
    step = np.dtype(np.float32).itemsize
    strides = [stride if size > 1 else 0 for stride, size in zip(head_map.strides, head_map.shape, strict=True)]
    if head_map.dtype != np.float32 or strides[2] != step or any(s < 0 or s % step for s in strides):
        head_map = np.ascontiguousarray(head_map, np.float32)
        strides = list(head_map.strides)
    row_stride, pixel_stride = strides[0] // step, strides[1] // step
    span = (height - 1) * row_stride + (width - 1) * pixel_stride + channels
    values = np.lib.stride_tricks.as_strided(head_map, (span,), (step,), writeable=False)
    return _Map(values, row_stride, pixel_stride, height, width)


def _masked_anchors(layer: Yolo | GaussianYolo, geometry: Geometry) -> tuple[Float32Array, Float32Array]:
    """The anchors of this head in mask order, (m, 2), and the network's size, (2,), both in pixels."""
    listed = np.asarray(layer.anchors, np.float32).reshape(-1, 2)
    return listed[list(layer.mask)], np.array((geometry.net_width, geometry.net_height), np.float32)


def _empty(boxes: int, classes: int) -> Candidates:
    return Candidates(
        np.empty((boxes, 4), np.float32), np.empty(boxes, np.float32), np.empty((boxes, classes), np.float32)
    )


def _join(parts: Sequence[Candidates]) -> Candidates:
    if len(parts) == 1:
        return parts[0]
    joined = _empty(sum(map(len, parts)), max((part.probs.shape[1] for part in parts), default=0))
    at = 0
    for part in parts:
        here, classes = slice(at, at + len(part)), part.probs.shape[1]
        joined.cxcywh[here] = part.cxcywh
        joined.objectness[here] = part.objectness
        joined.probs[here, :classes] = part.probs
        joined.probs[here, classes:] = 0
        at += len(part)
    return joined
