"""Packages: a large printed surface of many colours and prints, with codes in patches of their own or without any."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes.backgrounds import coloured, palette, random_texture
from training.scenes.blocks import Block, Mark, symbol_block
from training.scenes.decoys import decoy
from training.scenes.symbols import Symbol

__all__ = ["package"]

Canvas = NDArray[np.uint8]
#: Places tried for a code in its patch before it is left out.
_TRIES = 20


def package(
    rng: np.random.Generator, seed: int, symbols: list[Symbol], sides: list[int], size: tuple[int, int], density: float
) -> tuple[Canvas, list[Mark]]:
    """The front or the back of a package.

    Parameters
    ----------
    seed : int
        Of the bank of textures.
    symbols : list of Symbol
    sides : list of int
        Longer side of each in pixels; they fit into the package.
    size : (int, int)
        Least width and height in pixels.
    density : float
        Sheet pixels per pixel of the final picture.

    Returns
    -------
    uint8 array (height, width, 3)
        BGR.
    list of Mark
        Of the symbols in their order.
    """
    blocks = [symbol_block(rng, symbol, side) for symbol, side in zip(symbols, sides, strict=True)]
    gap = 4 + round(0.02 * min(size))
    # Codes stand in one column at the least: there is always room for all.
    width = max(size[0], *(block.ink.shape[1] + 2 * gap for block in blocks), 0)
    height = max(size[1], sum(block.ink.shape[0] + gap for block in blocks) + gap)
    canvas = _zones(rng, seed, width, height)
    for _ in range(int(rng.integers(6, 26))):
        _print(rng, canvas, decoy(rng, seed, max(12, round(min(width, height) * rng.uniform(0.06, 0.6))), density))
    return canvas, _codes(rng, canvas, blocks, gap)


def _zones(rng: np.random.Generator, seed: int, width: int, height: int) -> Canvas:
    """The ground: one colour, bands, a curve or a photograph."""
    canvas = np.full((height, width, 3), _colour(rng), np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        x0, x1 = np.sort(rng.integers(-width // 4, width * 5 // 4, 2)).tolist()
        y0, y1 = np.sort(rng.integers(-height // 4, height * 5 // 4, 2)).tolist()
        match rng.integers(4):
            case 0:
                cv2.rectangle(canvas, (x0, y0), (x1, y1), _colour(rng).tolist(), -1)
            case 1:
                cv2.rectangle(canvas, (-1, y0), (width, y1), _colour(rng).tolist(), -1)
            case 2:
                axes = (max(1, (x1 - x0) // 2), max(1, (y1 - y0) // 2))
                cv2.ellipse(canvas, ((x0 + x1) // 2, (y0 + y1) // 2), axes, 0, 0, 360, _colour(rng).tolist(), -1, 16)
            case _:
                left, top = min(max(x0, 0), width - 2), min(max(y0, 0), height - 2)
                place = canvas[top : max(y1, top + 2), left : max(x1, left + 2)]
                grey = cv2.resize(random_texture(rng, seed), place.shape[1::-1], interpolation=cv2.INTER_AREA)
                place[:] = coloured(grey, palette(rng))
    return canvas


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """White, a grey, or a colour of print."""
    kind = rng.random()
    if kind < 0.4:
        return np.full(3, rng.uniform(200, 255)) + rng.normal(0, 4, 3).clip(-8, 0)
    if kind < 0.55:
        return np.full(3, rng.uniform(10, 200))
    grey = rng.uniform(30, 255)
    return grey + rng.uniform(0.1, 1.0) * (rng.uniform(0, 255, 3) - grey)


def _print(rng: np.random.Generator, canvas: Canvas, block: Block) -> None:
    """Print a block anywhere, in an ink that stands out from the ground there; in place."""
    ink = np.rot90(block.ink, int(rng.choice([0, 1, 2, 3], p=(0.82, 0.08, 0.02, 0.08))))
    ink = ink[: canvas.shape[0], : canvas.shape[1]]
    top = int(rng.integers(0, canvas.shape[0] - ink.shape[0] + 1))
    left = int(rng.integers(0, canvas.shape[1] - ink.shape[1] + 1))
    place = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
    ground = float(place[::4, ::4].mean())
    tone = rng.uniform(0, 90, 3) if ground > 120 else rng.uniform(190, 255, 3)
    if rng.random() < 0.3:
        tone = rng.uniform(0, 255, 3)
    share = cv2.merge([ink] * 3)
    cv2.multiply(place, 255 - share, place, scale=1 / 255)
    cv2.add(place, cv2.multiply(share, np.array([*tone, 0]), scale=1 / 255), place)


def _codes(rng: np.random.Generator, canvas: Canvas, blocks: list[Block], gap: int) -> list[Mark]:
    """Print codes in light patches where none covers another, at worst in a column."""
    height, width = canvas.shape[:2]
    taken: list[tuple[int, int, int, int]] = []
    for block in blocks:
        high, wide = block.ink.shape
        for _ in range(_TRIES):
            left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
            place = (left, top, left + wide, top + high)
            if not any(_meet(place, other) for other in taken):
                break
        else:
            break
        taken.append(place)
    if len(taken) < len(blocks):
        tops = np.cumsum([gap, *(block.ink.shape[0] + gap for block in blocks)]).tolist()
        taken = [(gap, top, gap + b.ink.shape[1], top + b.ink.shape[0]) for b, top in zip(blocks, tops, strict=False)]
    marks = []
    for block, (left, top, right, bottom) in zip(blocks, taken, strict=True):
        if block.mark is not None:
            canvas[top:bottom, left:right] = _patch(rng, block)
            x0, y0, x1, y1 = block.mark.box
            marks.append(Mark(block.mark.symbol, (x0 + left, y0 + top, x1 + left, y1 + top)))
    return marks


def _patch(rng: np.random.Generator, block: Block) -> Canvas:
    """A code on its patch: dark on white mostly, in the package's colours or light on dark now and then."""
    paper, ink = np.full(3, rng.uniform(205, 255)), np.full(3, rng.uniform(0, 50))
    if rng.random() < 0.25:
        paper, ink = rng.uniform(150, 255, 3), rng.uniform(0, 90, 3)
    if block.mark is not None and block.mark.symbol.may_be_inverted and rng.random() < 0.1:
        paper, ink = ink, paper
    ramp = paper + np.linspace(0, 1, 256)[:, None, None] * (ink - paper)
    return coloured(block.ink, ramp.astype(np.uint8))


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
