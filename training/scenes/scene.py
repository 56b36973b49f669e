"""Composition of a scene: which codes, on what, where, how large, and what covers them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.sample import Sample
from training.scenes import camera
from training.scenes.backgrounds import background
from training.scenes.blocks import Mark
from training.scenes.occlusion import cover_part
from training.scenes.stage import Seen, Stage, paste
from training.scenes.surfaces import Sheet, bare_print, label
from training.scenes.symbols import BARCODE, CLASS_NAMES, Symbol, banked_symbol
from training.scenes.wear import Curl

__all__ = ["Scene", "render_scene"]

_COUNTS = (0.10, 0.36, 0.22, 0.12, 0.08, 0.05, 0.03, 0.02, 0.02)
_SMALLEST_SIDE = 14.0
# A module narrower than this leaves no texture a person could tell from grey.
_SMALLEST_PITCH = {True: 0.55, False: 0.7}
_ATTEMPTS = 12
_LEAST_INSIDE = 0.72
# Standard deviation of the greys on which bare ink is still made out.
_EVEN_GROUND = 24.0


class Scene(NamedTuple):
    """A photograph of codes with its truth.

    Attributes
    ----------
    sample : Sample
        The picture as the sensor gave it, classes that index CLASS_NAMES, and the bounding box of each code's modules
        (quiet zone and text left out), clipped to the picture.
    jpeg : bytes
        The picture as the camera stored it.
    """

    sample: Sample
    jpeg: bytes


def render_scene(seed: int, index: int) -> Scene:
    """Make scene `index` of the set `seed`: the same whatever was made before it.

    Parameters
    ----------
    seed, index : int
        Both at least 0.
    """
    rng = np.random.default_rng((seed, index))
    width, height = _picture_size(rng)
    stage = Stage(background(rng, seed, width, height))
    for _ in range(int(rng.choice(4, p=(0.4, 0.3, 0.2, 0.1)))):
        _lay_decoy(rng, stage, seed)
    count = int(rng.choice(len(_COUNTS), p=_COUNTS))
    symbols = [_draw_symbol(rng, seed) for _ in range(count)]
    if rng.random() < 0.2:
        # Sorted, codes of one class share sheets, as markers on a board and labels on a roll do.
        symbols.sort(key=lambda symbol: symbol.class_id)
    while symbols:
        together = min(int(rng.choice([1, 2, 3, 4], p=(0.62, 0.22, 0.1, 0.06))), len(symbols))
        _lay_codes(rng, stage, seed, symbols[:together], count)
        symbols = symbols[together:]
    for _ in range(len(stage.seen)):
        if rng.random() < 0.12:
            cover_part(rng, stage)
    return _photograph(rng, stage)


def _picture_size(rng: np.random.Generator) -> tuple[int, int]:
    long_side = int(rng.integers(448, 641))
    short_side = round(long_side / rng.uniform(1.15, 16 / 9))
    return (long_side, short_side) if rng.random() < 0.6 else (short_side, long_side)


def _draw_symbol(rng: np.random.Generator, seed: int) -> Symbol:
    return banked_symbol(seed, int(rng.integers(len(CLASS_NAMES))), int(rng.integers(1 << 20)))


def _extent(rng: np.random.Generator, long_side: int, count: int) -> float:
    """Wished longer side of a code in pixels: 4 to 90 % of the picture, mostly 8 to 45 %, less among many."""
    low, high = ((0.08, 0.45), (0.04, 0.08), (0.45, 0.9))[rng.choice(3, p=(0.74, 0.12, 0.14))]
    share = np.exp(rng.uniform(np.log(low), np.log(high)))
    return long_side * min(share, max(0.9 / np.sqrt(max(count, 1)), low))


def _lay_decoy(rng: np.random.Generator, stage: Stage, seed: int) -> None:
    """A sheet without codes, anywhere."""
    height, width = stage.picture.shape[:2]
    side = int(_extent(rng, max(width, height), 1)) + 10
    sheet = label(rng, seed, [], [side], int(rng.integers(1, 5)), 1.0)
    h, w = sheet.bgra.shape[:2]
    centre = rng.uniform(0, 1, 2) * (width, height)
    paste(stage.picture, sheet.bgra, _moved(centre) @ camera.pose(rng, w, h, max(width, height)), _shadow(rng))


def _lay_codes(rng: np.random.Generator, stage: Stage, seed: int, symbols: list[Symbol], count: int) -> None:
    """Lay one sheet with codes where it hides no other; gives up when a dozen poses find no room."""
    extent = _extent(rng, max(stage.picture.shape[:2]), count)
    sides = [
        max(extent * (np.exp(rng.normal(0, 0.25)) if i else 1.0), 1.15 * _least_pitch(s) * max(s.modules.shape))
        for i, s in enumerate(symbols)
    ]
    sheet, outlines, border = _bent(rng, _printed_sheet(rng, stage, seed, symbols, sides))
    for attempt in range(_ATTEMPTS):
        homography = _aimed(rng, stage, sheet, outlines, sides, shrink=0.9**attempt)
        codes = [
            Seen(mark.symbol, camera.project(homography, o)) for mark, o in zip(sheet.marks, outlines, strict=True)
        ]
        if sheet.bare and not stage.is_even(codes[0].box, _EVEN_GROUND):
            continue
        if all(_is_visible(stage, c) for c in codes) and stage.has_room(camera.project(homography, border), codes):
            paste(stage.picture, sheet.bgra, homography, (0.0, 0, 0) if sheet.bare else _shadow(rng))
            stage.add(codes)
            return


def _printed_sheet(
    rng: np.random.Generator, stage: Stage, seed: int, symbols: list[Symbol], sides: list[float]
) -> Sheet:
    """The codes on a label at their sides in picture pixels, or one bare on the ground where its brightness suits."""
    density = 2.0 if max(sides) < 150 else 1.3
    pixels = [max(4, round(side * density)) for side in sides]
    if len(symbols) == 1 and rng.random() < 0.14:
        level = float(cv2.cvtColor(stage.picture[::8, ::8], cv2.COLOR_BGR2GRAY).mean())
        if level > 140 or (level < 90 and symbols[0].may_be_inverted):
            return bare_print(rng, symbols[0], pixels[0], dark=level > 140)
    # Beside a code that fills the picture nothing else would be seen.
    decoys = min(int(rng.choice(5, p=(0.3, 0.25, 0.2, 0.15, 0.1))), int(max(stage.picture.shape[:2]) / max(sides)))
    return label(rng, seed, symbols, pixels, decoys, density)


def _bent(rng: np.random.Generator, sheet: Sheet) -> tuple[Sheet, list[NDArray[np.float64]], NDArray[np.float64]]:
    """The sheet, sometimes round a cylinder, the outlines of its codes and its own, in its pixels."""
    outlines = [_border(*mark.box) for mark in sheet.marks]
    height, width = sheet.bgra.shape[:2]
    border = _border(0, 0, width, height)
    if rng.random() >= 0.16:
        return sheet, outlines, border
    sag = height * rng.uniform(-0.2, 0.2)
    pad = int(np.ceil(abs(sag)))
    curl = Curl(width, height + 2 * pad, rng.uniform(0.25, 1.2), sag)
    padded = cv2.copyMakeBorder(sheet.bgra, pad, pad, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    marks = [Mark(s, (x0, y0 + pad, x1, y1 + pad)) for s, (x0, y0, x1, y1) in sheet.marks]
    down = np.array([0, pad])
    return (
        Sheet(curl.image(padded), marks, sheet.bare),
        [curl.points(o + down) for o in outlines],
        curl.points(border + down),
    )


def _border(left: float, top: float, right: float, bottom: float, steps: int = 12) -> NDArray[np.float64]:
    """Points along a rectangle, clockwise from its left top corner, `steps` on each side."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    share = np.arange(steps)[:, None] / steps
    return np.concatenate([a + share * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)])


def _aimed(
    rng: np.random.Generator,
    stage: Stage,
    sheet: Sheet,
    outlines: list[NDArray[np.float64]],
    sides: list[float],
    shrink: float,
) -> NDArray[np.float64]:
    """A pose that shows the first code at its wished size and, as far as they fit, all codes inside the picture."""
    height, width = stage.picture.shape[:2]
    h, w = sheet.bgra.shape[:2]
    density = max(np.ptp(outlines[0], axis=0)) / sides[0]
    turned = camera.pose(rng, w / density, h / density, max(width, height)) @ np.diag([1 / density, 1 / density, 1])
    seen = [camera.project(turned, outline) for outline in outlines]
    together = np.concatenate(seen)
    room = np.array([width, height]) * 0.98 / np.ptp(together, axis=0)
    zoom = min(shrink * sides[0] / max(np.ptp(seen[0], axis=0)), room.min())
    low, high = together.min(axis=0) * zoom, together.max(axis=0) * zoom
    centre = rng.uniform(-low, np.maximum([width, height] - high, -low))
    if rng.random() < 0.08:
        centre += rng.uniform(-0.3, 0.3, 2) * (high - low)
    return _moved(centre) @ np.diag([zoom, zoom, 1.0]) @ turned


def _moved(by: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([[1, 0, by[0]], [0, 1, by[1]], [0, 0, 1]], np.float64)


def _shadow(rng: np.random.Generator) -> tuple[float, int, int]:
    if rng.random() < 0.45:
        return 0.0, 0, 0
    return rng.uniform(0.15, 0.6), int(rng.integers(-7, 8)), int(rng.integers(-3, 9))


def _least_pitch(symbol: Symbol) -> float:
    return _SMALLEST_PITCH[symbol.class_id == BARCODE]


def _is_visible(stage: Stage, code: Seen) -> bool:
    """Large enough, fine enough and enough of it inside the picture."""
    box = code.box
    inside = stage.clipped(box)
    share = np.prod(inside[2:] - inside[:2]) / np.prod(box[2:] - box[:2])
    large = max(inside[2:] - inside[:2]) >= _SMALLEST_SIDE
    return bool(share >= _LEAST_INSIDE and large and code.pitch >= _least_pitch(code.symbol))


def _photograph(rng: np.random.Generator, stage: Stage) -> Scene:
    """Light, lens, sensor and file."""
    finest = min((code.pitch for code in stage.seen), default=2.0)
    picture = camera.lit(rng, stage.picture)
    picture = camera.focus(rng, picture, limit=float(np.clip(0.75 * finest, 0.4, 3.0)))
    picture = camera.expose(rng, picture)
    picture = camera.resample(rng, picture, limit=max(0.4, 0.9 / finest))
    xyxy = np.array([stage.clipped(code.box) for code in stage.seen], np.float32).reshape(-1, 4)
    class_id = np.array([code.symbol.class_id for code in stage.seen], np.int64)
    return Scene(Sample(picture, class_id, xyxy), camera.compress(rng, picture))
