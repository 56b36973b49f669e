"""A very large picture with small symbols, for readers that need to be told where to look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.heldout.layouts import LAYOUTS, Order, draw_stock
from training.heldout.render import render
from training.heldout.scene import draw_light
from training.heldout.sensor import Optics, photograph
from training.heldout.surfaces import Cylinder
from training.heldout.symbols import make_marker, make_qr
from training.heldout.truth import Limits, prune
from training.heldout.words import word

__all__ = ["large_scene"]

LARGE_DICTIONARY = "DICT_4X4_50"

_SYMBOLS = 16
_ATTEMPTS = 20


def _orders(rng: np.random.Generator, longer: int) -> list[Order]:
    """As many QR codes as markers, 2.8 to 8 % of the longer side, and half as many decoys."""
    markers = iter(rng.permutation(50))
    orders = []
    for index in range(_SYMBOLS):
        content = f"https://example.org/{word(rng)}/{rng.integers(10**4)}"
        symbol = (
            make_marker(LARGE_DICTIONARY, int(next(markers))) if index % 2 else make_qr(content, "LM"[index // 2 % 2])
        )
        orders.append(Order(symbol, float(rng.uniform(0.028, 0.08) * longer)))
    decoys = [Order(None, float(rng.uniform(0.05, 0.12) * longer)) for _ in range(_SYMBOLS // 2)]
    return [*orders, *decoys]


def large_scene(
    seed: int, size: tuple[int, int] = (4000, 3000)
) -> tuple[NDArray[np.uint8], list[tuple[int, NDArray[np.float32], str]]]:
    """A picture that holds about a dozen small QR codes and ArUco markers, tilted, some of them curved.

    Parameters
    ----------
    seed : int
        The same seed and size give the same picture.
    size : (int, int)
        Width and height in pixels, both even. At 4000×3000 every symbol is 100 to 350 pixels long.

    Returns
    -------
    image : uint8 array (H, W, 3)
        BGR.
    symbols : list of (class_id, xyxy, payload)
        xyxy is float32 (4,), in pixels. The payload of a QR code is its text, that of a marker its dictionary and id,
        ``DICT_4X4_50:17``; all markers are of that dictionary.

    Raises
    ------
    RuntimeError
        No arrangement leaves eight symbols in sight.
    """
    longer = max(size)
    limits = Limits((0.025, 0.0875), 0.025 * longer, 0.0)
    stock = draw_stock(np.random.default_rng([seed, _ATTEMPTS]))
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, attempt])
        orders = _orders(rng, longer)
        arrangement = LAYOUTS[0](rng, size, orders, stock)
        camera = arrangement.camera
        pieces, truths = prune(arrangement.pieces, camera, limits)
        curved = any(isinstance(pieces[truth.piece].shape, Cylinder) for truth in truths)
        both = len({truth.symbol.class_id for truth in truths}) == 2
        if curved and both and len(truths) >= _SYMBOLS // 2:
            break
    else:
        raise RuntimeError(f"Seed {seed} left fewer than {_SYMBOLS // 2} symbols in sight: use another seed.")
    frame = render(pieces, camera, draw_light(rng), supersample=1)
    image = photograph(frame, Optics(arrangement.focus, electrons=6000.0, vignette=0.2), rng)
    return image, [(t.symbol.class_id, t.xyxy.astype(np.float32), t.symbol.payload) for t in truths]
