"""The steps of a Winograd convolution: three phases per band of tiles, in buffers that the bands share."""

from __future__ import annotations

import numpy as np

from darknet_py.kernels.cook_toom import ALGORITHMS, SCHEMES, lay_out_panels
from darknet_py.kernels.jit import LANES
from darknet_py.kernels.steps import Op
from darknet_py.kernels.tile import PIXELS
from darknet_py.layers import Convolutional, Shape
from darknet_py.plan.buffers import Buffer, View
from darknet_py.plan.lowering import Lowering
from darknet_py.plan.packing import Packed

__all__ = ["winograd"]

#: Transformed inputs and products of a band together; more would leave the second-level and third-level caches.
_BAND_BYTES = 6 << 20


def winograd(
    plan: Lowering, layer: Convolutional, packed: Packed, x: View, y: View, second: View | None, fields: dict[str, int]
) -> None:
    """Emit the steps of one convolution."""
    scheme, _ = ALGORITHMS[packed.algorithm]
    m = scheme.m
    elements = scheme.n**2
    across, down = -(-y.shape.w // m), -(-y.shape.h // m)
    channels = -(-x.shape.c // LANES) * LANES
    # Strides of 4 KB would collide in the first-level cache.
    pixel = (channels // 2 if packed.paired else channels) + LANES
    per_tile = 4 * elements * (pixel + packed.width)
    tiles = across * down * plan.images_of(layer)
    bands = -(-tiles * per_tile // _BAND_BYTES)
    band = -(-tiles // bands)
    band = -(-band // PIXELS) * PIXELS
    inputs = _matrix(plan, elements * band, pixel)
    products = _matrix(plan, elements * band, packed.width)
    plan.constants.extend((packed.blocks, *packed.owners))
    shared: dict[str, int] = {
        "MODE": list(SCHEMES.values()).index(scheme),
        "RUN": packed.run,
        "CHANNELS": packed.width,
        "BLOCKS": packed.blocks.ctypes.data,
        "N_BLOCKS": len(packed.blocks),
        "OUTSIDE": plan.filled(0.0, max(x.shape.c, packed.width)),
        "PARAMETERS": _panel_table(plan, packed.algorithm),
        "TILES_X": across,
        "TILE_PITCH": band,
        "BFLOAT16": int(packed.paired),
        "TILES_IMAGE": across * down,
    }
    for first in range(0, tiles, band):
        here = shared | {"TILE_FIRST": first, "TILE_COUNT": min(band, tiles - first)}
        plan.emit(Op.WINOGRAD_INPUT, layer, x, inputs, None, **here, PAD_Y=layer.pad, PAD_X=layer.pad)
        plan.emit(Op.WINOGRAD_MULTIPLY, layer, inputs, products, None, **here)
        activations = {name: fields[name] for name in ("ACTIVATION", "ACTIVATION_2") if name in fields}
        plan.emit(Op.WINOGRAD_OUTPUT, layer, products, y, second, **here, **activations)


def _matrix(plan: Lowering, rows: int, width: int) -> View:
    buffer = Buffer(rows * width, shared=True)
    plan.buffers.append(buffer)
    return View(buffer, Shape(width, 1, rows), width, rows * width)


def _panel_table(plan: Lowering, name: str) -> int:
    """Address of the table by which the kernel finds each element's weights."""
    _, panels = lay_out_panels(name)
    factors = plan.constant([factor for panel in panels for factor in (panel.alpha, panel.gamma)])
    rows = [(p.element, p.derived, p.a, p.b, p.c, factors + 8 * n) for n, p in enumerate(panels)]
    return plan.constant(rows, np.int64)
