"""Composition of a scene: which codes, on what, where, how large, and what covers them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.sample import Sample
from training.scenes import camera, sensor
from training.scenes.backgrounds import background
from training.scenes.bank import banked_symbol, random_class
from training.scenes.blocks import Mark
from training.scenes.difficulty import HARD, Difficulty
from training.scenes.occlusion import cover_part
from training.scenes.stage import Seen, Stage, paste
from training.scenes.surfaces import Sheet, bare_print, label, marked_part, marker_board, printed_package
from training.scenes.symbols import AZTEC, DATAMATRIX, QR, Symbol
from training.scenes.wear import Curl

__all__ = ["Scene", "render_scene"]

#: Scenes with a board of markers.
_BOARD = 0.025
#: A code's longer side in parts of the picture's side along it, from where it fills the picture to beyond the edges.
_LARGE, _LARGEST = 0.7, 1.1
_ATTEMPTS = 12
_LEAST_INSIDE = 0.72
# Standard deviation of the greys on which bare ink is still made out.
_EVEN_GROUND = 24.0
#: Codes that are found dented, burnt or cast into parts, by class.
_MARKED = {DATAMATRIX: 0.4, QR: 0.06, AZTEC: 0.06}


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


def render_scene(seed: int, index: int, difficulty: Difficulty = HARD) -> Scene:
    """Make scene `index` of the set `seed`: the same whatever was made before it.

    Parameters
    ----------
    seed, index : int
        Both at least 0.
    difficulty : Difficulty
    """
    rng = np.random.default_rng((seed, index))
    width, height = _picture_size(rng)
    stage = Stage(background(rng, seed, width, height), difficulty)
    close = rng.random() < difficulty.close
    counts = difficulty.counts
    count = int(rng.choice(3, p=(0.7, 0.2, 0.1)) if close else rng.choice(len(counts), p=counts))
    if rng.random() < (0.25 if count or close else 0.6):
        _lay_package(rng, stage, seed)
    for _ in range(int(rng.choice(5, p=(0.3, 0.3, 0.2, 0.1, 0.1)))):
        _lay_decoy(rng, stage, seed)
    if rng.random() < _BOARD:
        share = _log_uniform(rng, 0.06, 0.22)
        _lay_sheet(rng, stage, marker_board(rng, 120), 120.0, share)
    if close:
        share = _log_uniform(rng, _LARGE, _LARGEST)
        _lay_codes(rng, stage, seed, [_draw_symbol(rng, seed)], share)
    symbols = [_draw_symbol(rng, seed) for _ in range(count)]
    if rng.random() < 0.2:
        # Sorted, codes of one class share sheets, as markers on a board and labels on a roll do.
        symbols.sort(key=lambda symbol: symbol.class_id)
    while symbols:
        together = min(int(rng.choice([1, 2, 3, 4], p=(0.62, 0.22, 0.1, 0.06))), len(symbols))
        _lay_codes(rng, stage, seed, symbols[:together], _share(rng, stage, count + 3 * close))
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
    return banked_symbol(seed, random_class(rng), int(rng.integers(1 << 20)))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _share(rng: np.random.Generator, stage: Stage, count: int) -> float:
    """Wished longer side of a code, uniform in its logarithm; among many the largest have no room."""
    return _log_uniform(rng, stage.difficulty.smallest, min(_LARGE, 0.9 / np.sqrt(max(count, 1))))


def _lay_package(rng: np.random.Generator, stage: Stage, seed: int) -> None:
    """A package without codes that fills most of the picture."""
    height, width = stage.picture.shape[:2]
    size = (round(width * rng.uniform(0.7, 1.5)), round(height * rng.uniform(0.7, 1.5)))
    sheet = printed_package(rng, seed, [], [], size, 1.0)
    _paste_anywhere(rng, stage, sheet, rng.uniform(0.3, 0.7, 2))


def _lay_decoy(rng: np.random.Generator, stage: Stage, seed: int) -> None:
    """A sheet without codes, anywhere."""
    side = int(_share(rng, stage, 1) * np.mean(stage.picture.shape[:2])) + 10
    _paste_anywhere(rng, stage, label(rng, seed, [], [side], int(rng.integers(1, 6)), 1.0), rng.uniform(0, 1, 2))


def _paste_anywhere(rng: np.random.Generator, stage: Stage, sheet: Sheet, place: NDArray[np.float64]) -> None:
    """Paste a sheet at its size with its middle at a place in parts of the picture's width and height."""
    height, width = stage.picture.shape[:2]
    h, w = sheet.bgra.shape[:2]
    pose = _moved(place * (width, height)) @ camera.pose(rng, w, h, max(width, height))
    paste(stage.picture, sheet.bgra, pose, _shadow(rng))


def _lay_codes(rng: np.random.Generator, stage: Stage, seed: int, symbols: list[Symbol], share: float) -> None:
    """Lay one sheet with codes where it hides no other; gives up when a dozen poses find no room.

    Parameters
    ----------
    share : float
        Wished longer side of the first code in parts of the picture's side along it.
    """
    extent = share * float(np.mean(stage.picture.shape[:2]))
    least = [1.15 * stage.difficulty.least_pitch(s) * max(s.modules.shape) for s in symbols]
    sides = [max(extent * (np.exp(rng.normal(0, 0.25)) if i else 1.0), low) for i, low in enumerate(least)]
    share = max(share, sides[0] / min(stage.picture.shape[:2]) if sides[0] > extent else 0.0)
    _lay_sheet(rng, stage, _printed_sheet(rng, stage, seed, symbols, sides), sides[0], share)


def _lay_sheet(rng: np.random.Generator, stage: Stage, flat: Sheet, side: float, share: float) -> None:
    """Lay a sheet whose first code was meant to have this side, so that it takes this share of the picture."""
    sheet, outlines, border = _bent(rng, flat)
    for attempt in range(_ATTEMPTS):
        homography = _aimed(rng, stage, sheet, outlines, side, share * 0.9**attempt)
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
    """The codes at their sides in picture pixels: on a label or package, marked into a part, or bare on the ground."""
    density = 2.0 if max(sides) < 150 else 1.3
    pixels = [max(4, round(side * density)) for side in sides]
    if len(symbols) == 1 and rng.random() < stage.difficulty.marked * _MARKED.get(symbols[0].class_id, 0.0):
        return marked_part(rng, seed, symbols[0], pixels[0])
    if len(symbols) == 1 and rng.random() < 0.16:
        level = float(cv2.cvtColor(stage.picture[::8, ::8], cv2.COLOR_BGR2GRAY).mean())
        pale = rng.uniform(0.3, 0.7) if rng.random() < 0.4 * stage.difficulty.marked else 1.0
        if level > 140 or (level < 110 and (symbols[0].may_be_inverted or pale < 1)):
            return bare_print(rng, symbols[0], pixels[0], dark=level > 140, strength=pale)
    if rng.random() < 0.3:
        height, width = stage.picture.shape[:2]
        size = (round(width * density * rng.uniform(0.3, 1.2)), round(height * density * rng.uniform(0.3, 1.2)))
        return printed_package(rng, seed, symbols, pixels, size, density)
    # Beside a code that fills the picture nothing else would be seen.
    decoys = min(int(rng.choice(5, p=(0.3, 0.25, 0.2, 0.15, 0.1))), int(max(stage.picture.shape[:2]) / max(sides)))
    return label(rng, seed, symbols, pixels, decoys, density)


def _bent(rng: np.random.Generator, sheet: Sheet) -> tuple[Sheet, list[NDArray[np.float64]], NDArray[np.float64]]:
    """The sheet, sometimes round a cylinder, the outlines of its codes and its own, in its pixels."""
    outlines = [_border(*mark.box) for mark in sheet.marks]
    height, width = sheet.bgra.shape[:2]
    border = _border(0, 0, width, height)
    if rng.random() >= 0.24:
        return sheet, outlines, border
    if rng.random() < 0.5:
        sheet = _on_its_side(sheet)
        outlines = [_border(*mark.box) for mark in sheet.marks]
        height, width = sheet.bgra.shape[:2]
        border = _border(0, 0, width, height)
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


def _on_its_side(sheet: Sheet) -> Sheet:
    """A quarter turn to the left: bars that ran along a bottle run round it."""
    width = sheet.bgra.shape[1]
    marks = [Mark(s, (y0, width - x1, y1, width - x0)) for s, (x0, y0, x1, y1) in sheet.marks]
    return Sheet(np.ascontiguousarray(np.rot90(sheet.bgra)), marks, sheet.bare)


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
    side: float,
    share: float,
) -> NDArray[np.float64]:
    """A pose that shows the first code at its wished share of the picture, and several codes inside the picture."""
    height, width = stage.picture.shape[:2]
    h, w = sheet.bgra.shape[:2]
    density = max(np.ptp(outlines[0], axis=0)) / side
    turned = camera.pose(rng, w / density, h / density, max(width, height)) @ np.diag([1 / density, 1 / density, 1])
    seen = [camera.project(turned, outline) for outline in outlines]
    together = np.concatenate(seen)
    zoom = share / max(np.ptp(seen[0], axis=0) / (width, height))
    if len(outlines) > 1:
        zoom = min(zoom, (np.array([width, height]) * 0.98 / np.ptp(together, axis=0)).min())
    low, high = together.min(axis=0) * zoom, together.max(axis=0) * zoom
    first, last = -low, [width, height] - high
    centre = rng.uniform(np.minimum(first, last), np.maximum(first, last))
    if len(outlines) == 1 and rng.random() < (0.3 if share > _LARGE else 0.1):
        # Cut by an edge of the picture.
        axis, beyond = int(rng.integers(2)), rng.uniform(0, 1 - _LEAST_INSIDE) * (high - low)
        centre[axis] = first[axis] - beyond[axis] if rng.random() < 0.5 else last[axis] + beyond[axis]
    return _moved(centre) @ np.diag([zoom, zoom, 1.0]) @ turned


def _moved(by: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([[1, 0, by[0]], [0, 1, by[1]], [0, 0, 1]], np.float64)


def _shadow(rng: np.random.Generator) -> tuple[float, int, int]:
    if rng.random() < 0.45:
        return 0.0, 0, 0
    return rng.uniform(0.15, 0.6), int(rng.integers(-7, 8)), int(rng.integers(-3, 9))


def _is_visible(stage: Stage, code: Seen) -> bool:
    """Large enough, fine enough and enough of it inside the picture."""
    box = code.box
    inside = stage.clipped(box)
    share = np.prod(inside[2:] - inside[:2]) / np.prod(box[2:] - box[:2])
    height, width = stage.picture.shape[:2]
    large = max((inside[2:] - inside[:2]) / (width, height)) >= stage.difficulty.smallest
    return bool(share >= _LEAST_INSIDE and large and code.pitch >= stage.difficulty.least_pitch(code.symbol))


def _photograph(rng: np.random.Generator, stage: Stage) -> Scene:
    """Light, lens, sensor, the camera's programs and file."""
    anything = rng.uniform(1, 6)
    finest = min((code.pitch for code in stage.seen), default=anything)
    blur = min((stage.difficulty.most_blur(code.symbol) * code.pitch for code in stage.seen), default=anything)
    picture = camera.lit(rng, stage.picture)
    picture = camera.focus(rng, picture, limit=float(np.clip(blur, 0.4, 8.0)))
    picture = sensor.demosaiced(rng, camera.expose(rng, picture))
    picture = sensor.toned(rng, sensor.smeared(rng, picture, limit=finest))
    picture = camera.resample(rng, picture, limit=max(0.4, 0.9 / finest))
    picture = sensor.stored_before(rng, picture)
    xyxy = np.array([stage.clipped(code.box) for code in stage.seen], np.float32).reshape(-1, 4)
    class_id = np.array([code.symbol.class_id for code in stage.seen], np.int64)
    return Scene(Sample(picture, class_id, xyxy), camera.compress(rng, picture))
