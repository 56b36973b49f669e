"""Sheets: flat printed things (labels, pages, screens, bare print) with codes and decoys laid out on them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.scenes import wear
from training.scenes.backgrounds import coloured
from training.scenes.blocks import Block, Mark, symbol_block
from training.scenes.boards import board
from training.scenes.decoys import decoy
from training.scenes.engraving import engraved
from training.scenes.packages import package
from training.scenes.symbols import Symbol

__all__ = ["Sheet", "bare_print", "label", "marked_part", "marker_board", "printed_package"]


class Sheet(NamedTuple):
    """A flat thing ready to be seen from anywhere.

    Attributes
    ----------
    bgra : uint8 array (height, width, 4)
        Colour multiplied by opacity, and opacity.
    marks : list of Mark
        The codes on it, boxes in pixels of the sheet.
    bare : bool
        Ink alone, straight on what lies below.
    """

    bgra: NDArray[np.uint8]
    marks: list[Mark]
    bare: bool


class _Placed(NamedTuple):
    block: Block
    left: int
    top: int


def label(
    rng: np.random.Generator, seed: int, symbols: list[Symbol], sides: list[int], decoys: int, density: float
) -> Sheet:
    """A label, page or screen with codes and decoys in columns.

    Parameters
    ----------
    seed : int
        Of the texture bank.
    symbols : list of Symbol
    sides : list of int
        Longer side of each symbol in sheet pixels; with no symbols the first is the decoys' typical extent.
    decoys : int
        Blocks besides the codes.
    density : float
        Sheet pixels per pixel of the final picture.
    """
    blocks = [symbol_block(rng, symbol, side) for symbol, side in zip(symbols, sides, strict=False)]
    blocks += [decoy(rng, seed, max(sides), density) for _ in range(decoys)]
    blocks = [blocks[i] for i in rng.permutation(len(blocks))]
    base = min(sides)
    margin = round(base * rng.uniform(0.01, 0.15)) + 1
    placed, width, height = _columns(rng, blocks, margin, max(2, round(base * rng.uniform(0.02, 0.15))))
    paper, ink = _colours(rng)
    canvas = cv2.merge([np.full((height, width), round(channel), np.uint8) for channel in paper])
    for block, left, top in placed:
        place = canvas[top : top + block.ink.shape[0], left : left + block.ink.shape[1]]
        place[:] = _printed(rng, block, paper, ink)
    if rng.random() < 0.25:
        _frame(rng, canvas, ink, margin)
    marks = [_moved(block.mark, left, top) for block, left, top in placed if block.mark is not None]
    if rng.random() < 0.1:
        canvas, marks = _on_screen(rng, canvas, marks)
    wear.age(rng, canvas)
    opaque = wear.outline(rng, *canvas.shape[:2])
    if opaque is None:
        return Sheet(cv2.cvtColor(canvas, cv2.COLOR_BGR2BGRA), marks, False)
    canvas = cv2.multiply(canvas, cv2.merge([opaque] * 3), scale=1 / 255)
    return Sheet(cv2.merge([*cv2.split(canvas), opaque]), marks, False)


def marked_part(rng: np.random.Generator, seed: int, symbol: Symbol, side: int) -> Sheet:
    """A piece of metal or plastic with a code dented, burnt or cast into it; parameters as of `engraved`."""
    canvas, mark = engraved(rng, seed, symbol, side)
    wear.age(rng, canvas)
    return Sheet(cv2.cvtColor(canvas, cv2.COLOR_BGR2BGRA), [mark], False)


def marker_board(rng: np.random.Generator, side: int) -> Sheet:
    """A board of markers, each of this many pixels."""
    canvas, marks = board(rng, side)
    wear.age(rng, canvas)
    return Sheet(cv2.cvtColor(canvas, cv2.COLOR_BGR2BGRA), marks, False)


def printed_package(
    rng: np.random.Generator, seed: int, symbols: list[Symbol], sides: list[int], size: tuple[int, int], density: float
) -> Sheet:
    """The face of a package; parameters as of `package`."""
    canvas, marks = package(rng, seed, symbols, sides, size, density)
    wear.age(rng, canvas)
    return Sheet(cv2.cvtColor(canvas, cv2.COLOR_BGR2BGRA), marks, False)


def bare_print(rng: np.random.Generator, symbol: Symbol, side: int, dark: bool, strength: float = 1.0) -> Sheet:
    """A code printed, etched or painted straight on a material.

    Parameters
    ----------
    side : int
        The symbol's longer side in pixels.
    dark : bool
        Dark ink (for a light ground); else light ink.
    strength : float
        1 covers what lies below; a third is a pale print, as etched into glass.
    """
    block = symbol_block(rng, symbol, side)
    tone = rng.uniform(0, 60) if dark else rng.uniform(200, 255)
    ink = np.clip(tone + rng.normal(0, 12, 3), 0, 255)
    opacity = (block.ink * (strength * rng.uniform(0.75, 1.0))).astype(np.uint8)
    bgra = cv2.merge([*((opacity * (c / 255)).astype(np.uint8) for c in ink), opacity])
    return Sheet(bgra, [block.mark] if block.mark else [], True)


def _columns(rng: np.random.Generator, blocks: list[Block], margin: int, gap: int) -> tuple[list[_Placed], int, int]:
    """Stack blocks in one to three columns, each in the shortest; returns their places and the sheet's size."""
    count = min(int(rng.choice([1, 2, 3], p=(0.5, 0.4, 0.1))), len(blocks))
    columns: list[list[Block]] = [[] for _ in range(count)]
    heights = [0] * count
    for block in blocks:
        shortest = int(np.argmin(heights))
        columns[shortest].append(block)
        heights[shortest] += block.ink.shape[0] + gap
    align = rng.choice([0.0, 0.5, 1.0], p=(0.4, 0.5, 0.1))
    placed, left = [], margin
    for column in columns:
        width = max(block.ink.shape[1] for block in column)
        top = margin
        for block in column:
            placed.append(_Placed(block, left + int(align * (width - block.ink.shape[1])), top))
            top += block.ink.shape[0] + gap
        left += width + gap
    return placed, left - gap + margin, max(heights) - gap + 2 * margin


def _colours(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Paper and ink, BGR: dark on light at a contrast between faint and full."""
    match rng.choice(4, p=(0.62, 0.12, 0.19, 0.07)):
        case 0:
            paper = rng.uniform(215, 255) + rng.normal(0, 4, 3)
        case 1:
            paper = np.array([110, 160, 195]) * rng.uniform(0.8, 1.2)
        case 2:
            paper = rng.uniform(170, 255, 3)
        case _:
            paper = np.sort(rng.uniform(0, 255, 3))[rng.permutation(3)]
            paper[rng.integers(1, 3)] = 250
    luma = np.array([0.114, 0.587, 0.299])
    ink = np.full(3, rng.uniform(0, 45)) if rng.random() < 0.75 else rng.uniform(0, 160, 3)
    paper = np.clip(paper, 0, 255)
    if luma @ paper - luma @ ink < 90:
        ink *= max(luma @ paper - 90, 5) / max(luma @ ink, 1)
    faint = rng.uniform(0.0, 0.6) if rng.random() < 0.35 else 0.0
    return paper, np.clip(ink + faint * (paper - ink), 0, 255)


def _ramp(paper: NDArray[np.float64], ink: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour of each ink coverage: uint8 (256, 1, 3)."""
    share = np.linspace(0, 1, 256)[:, None, None]
    return (paper + share * (ink - paper)).astype(np.uint8)


def _printed(
    rng: np.random.Generator, block: Block, paper: NDArray[np.float64], ink: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """A block in colour: its own light patch, its own ink or light on dark now and then."""
    if block.mark is None:
        own = rng.uniform(0, 200, 3) if rng.random() < 0.3 else ink
        pair = (own, paper) if rng.random() < 0.12 else (paper, own)
    elif block.mark.symbol.may_be_inverted and rng.random() < 0.1:
        pair = (ink, paper)
    elif rng.random() < 0.15:
        pair = (np.full(3, rng.uniform(225, 255)), ink)
    else:
        pair = (paper, ink)
    return coloured(block.ink, _ramp(*pair))


def _moved(mark: Mark, x: int, y: int) -> Mark:
    left, top, right, bottom = mark.box
    return Mark(mark.symbol, (left + x, top + y, right + x, bottom + y))


def _frame(rng: np.random.Generator, canvas: NDArray[np.uint8], ink: NDArray[np.float64], margin: int) -> None:
    """A ruled border inside the margin."""
    stroke = max(1, margin // 4)
    inset = int(rng.integers(0, max(margin - stroke, 1)))
    height, width = canvas.shape[:2]
    cv2.rectangle(canvas, (inset, inset), (width - 1 - inset, height - 1 - inset), ink.tolist(), stroke)


def _on_screen(
    rng: np.random.Generator, canvas: NDArray[np.uint8], marks: list[Mark]
) -> tuple[NDArray[np.uint8], list[Mark]]:
    """Show the sheet on a phone: dark bezel around it, bars above and below."""
    side = max(3, round(min(canvas.shape[:2]) * rng.uniform(0.03, 0.08)))
    bars = round(canvas.shape[0] * rng.uniform(0.05, 0.4))
    bezel = rng.uniform(5, 60, 3)
    shown = cv2.copyMakeBorder(canvas, bars, bars, 0, 0, cv2.BORDER_CONSTANT, value=rng.uniform(0, 255, 3).tolist())
    shown = cv2.copyMakeBorder(shown, side, side, side, side, cv2.BORDER_CONSTANT, value=bezel.tolist())
    return shown, [_moved(mark, side, bars + side) for mark in marks]
