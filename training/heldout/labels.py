"""Labels set by hand, for the demo pictures: parcels, cans, packets, price tags, plates, vials, a circuit board."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.artwork import Artwork, Print, frame, letters, margin, paste, printed, resized, stack, symbol_art
from training.heldout.symbols import Symbol

__all__ = [
    "ADDRESSES",
    "bordered",
    "can_label",
    "card",
    "circuit_board",
    "engraved",
    "field",
    "on_board",
    "packet",
    "parcel_label",
    "plate",
    "price_tag",
    "vial_label",
    "wrapped",
]

Colour = NDArray[np.floating]

_WHITE, _BLACK = np.array([240.0, 244, 246]), np.array([26.0, 24, 24])

ADDRESSES = (
    ("Harbour Workshop", "14 Lower Quay", "40213 Westport"),
    ("Mill Street Books", "7 Mill Street", "81667 Oldbridge"),
    ("Garden Supplies", "233 North Road", "10559 Lindfield"),
)


def parcel_label(barcode: Symbol, code: Symbol, receiver: tuple[str, ...], service: str) -> Print:
    """Service, address and QR code above, a tracking number in bars below."""
    bars = stack([symbol_art(barcode, 5, 0), letters(barcode.payload, "DejaVuSansMono", 36)], 0, 16, 0.5)
    width = bars.ink.shape[1]
    rule = Artwork(np.full((5, width), 255, np.uint8))
    address = stack([letters(line, "DejaVuSans", 42) for line in receiver], 0, 24)
    square = symbol_art(code, 8, 0)
    gap = max(30, width - address.ink.shape[1] - square.ink.shape[1])
    head = letters(service, "DejaVuSans-Bold", 78)
    art = stack([head, rule, stack([address, square], 1, gap, 0.5), rule, bars], 0, 30)
    return printed(margin(frame(margin(art, 44), 5), 20), _WHITE, _BLACK)


def on_board(
    board: Print, size: tuple[float, float], part: Print, at: tuple[float, float], width: float, tape: bool = False
) -> Print:
    """A face of board with a label glued on.

    Parameters
    ----------
    board : Print
        Repeated as needed; it measures 250 mm.
    size : (float, float)
        Width and height of the face, millimetres.
    part : Print
    at : (float, float)
        Where the label's upper left corner comes, millimetres.
    width : float
        Of the label, millimetres.
    tape : bool
        Whether a strip of tape runs along the middle, below the label.
    """
    texels = part.image.shape[1] / width
    rows, columns = int(size[1] * texels), int(size[0] * texels)
    tile = cv2.resize(board.image, (int(250 * texels),) * 2, interpolation=cv2.INTER_CUBIC)
    repeats = (rows // tile.shape[0] + 1, columns // tile.shape[1] + 1, 1)
    face = np.ascontiguousarray(np.tile(tile, repeats)[:rows, :columns])
    if tape:
        strip = face[int(rows * 0.42) : int(rows * 0.58)]
        strip[:] = (strip * 0.66 + np.array([14.0, 26, 38])).astype(np.uint8)
    return paste(Print(face), part, int(at[0] * texels), int(at[1] * texels))


def card(symbol: Symbol, title: str, text: str, texel: int) -> Print:
    """A card with a title, a symbol and a line of text."""
    parts = [letters(title, "DejaVuSans-Bold", 56), symbol_art(symbol, texel, 2), letters(text, "DejaVuSans", 30)]
    return printed(margin(stack(parts, 0, 24, 0.5), 40), np.array([214.0, 236, 248]), _BLACK)


def _badge(text: str, font: str, size: int, stock: Colour, ink: Colour, border: int = 0) -> Print:
    return printed(margin(letters(text, font, size), border), stock, ink)


def _field(dye: Colour, width: int, height: int) -> Print:
    """A coloured field, lighter towards the top, with a pale wave at its foot."""
    shade = np.linspace(1.06, 0.88, height)[:, None, None]
    image = np.clip(np.asarray(dye)[None, None] * shade + np.zeros((1, width, 1)), 0, 255).astype(np.uint8)
    x = np.arange(width)
    foot = (height * (0.86 + 0.03 * np.sin(x / width * 14 * np.pi))).astype(int)
    image[np.arange(height)[:, None] > foot[None]] = np.clip(np.asarray(dye) * 0.5 + 120, 0, 255).astype(np.uint8)
    return Print(image)


def can_label(brand: str, dye: Colour, barcode: Symbol) -> Print:
    """What goes around a can: the brand to the left of the front, the barcode to the right of it."""
    code = printed(
        margin(stack([symbol_art(barcode, 4, 0), letters(barcode.payload, "DejaVuSansMono", 30)], 0, 8, 0.5), 28),
        _WHITE,
        _BLACK,
    )
    width = int(max(4.4 * code.image.shape[1], 1500))
    height = int(width * 0.45)
    face = _field(dye, width, height)
    name = _badge(brand, "DejaVuSans-Bold", width // 14, np.asarray(dye), np.array([235.0, 245, 250]))
    face = paste(face, name, (width - name.image.shape[1]) // 2, int(height * 0.1))
    face = paste(face, code, (width - code.image.shape[1]) // 2, int(height * 0.38))
    small = _badge("net 400 g", "DejaVuSerif-Italic", width // 34, np.asarray(dye), np.array([235.0, 245, 250]))
    return paste(face, small, (width - small.image.shape[1]) // 2, int(height * 0.27))


def packet(brand: str, dye: Colour, symbol: Symbol, size: tuple[float, float]) -> Print:
    """The front of a packet: the brand above, the symbol on white in a lower corner."""
    width = 720
    height = int(width * size[1] / size[0])
    face = _field(dye, width, height)
    texel = max(2, int(width * (0.56 if symbol.class_id == 1 else 0.42) / symbol.dark.shape[1]))
    art = symbol_art(symbol, texel, 0)
    code = printed(margin(art, 4 * texel if symbol.class_id == 0 else (9 * texel, 5 * texel)), _WHITE, _BLACK)
    name = _badge(brand, "DejaVuSerif-Bold", width // 7, np.asarray(dye), np.array([235.0, 245, 250]), 6)
    name = resized(name, min(1.0, 0.9 * width / name.image.shape[1]))
    face = paste(face, name, (width - name.image.shape[1]) // 2, int(height * 0.12))
    cv2.circle(face.image, (int(width * 0.2), int(height * 0.45)), width // 10, (235, 245, 250), -1, cv2.LINE_AA)
    cv2.circle(face.image, (int(width * 0.2), int(height * 0.45)), width // 13, tuple(map(float, dye)), -1, cv2.LINE_AA)
    return paste(face, code, width - code.image.shape[1] - 40, height - code.image.shape[0] - 50)


def price_tag(price: str, barcode: Symbol) -> Print:
    """A price and a small barcode."""
    art = stack([letters(price, "DejaVuSans-Bold", 96), symbol_art(barcode, 6, 0)], 1, 50, 0.5)
    return printed(margin(art, 22), np.array([150.0, 236, 250]), _BLACK)


def plate(symbol: Symbol, stock: Colour, quiet: float) -> Print:
    """A symbol on a square of stock."""
    return printed(symbol_art(symbol, 32, quiet), stock, _BLACK)


def bordered(part: Print, dye: Colour, share: float) -> Print:
    """A print on a larger ground of another colour; `share` of its width is added on each side."""
    height, width = part.image.shape[:2]
    edge = int(share * width)
    ground = np.empty((height + 2 * edge, width + 2 * edge, 3), np.uint8)
    ground[:] = np.clip(dye, 0, 255).astype(np.uint8)
    return paste(Print(ground), part, edge, edge)


def wrapped(part: Print, dye: Colour, girth: float) -> Print:
    """A print in the middle of what goes around a cylinder `girth` times as far around as the print is wide."""
    height, width = part.image.shape[:2]
    around = np.empty((int(height * 1.25), int(width * girth), 3), np.uint8)
    around[:] = np.clip(dye, 0, 255).astype(np.uint8)
    return paste(Print(around), part, (around.shape[1] - width) // 2, (around.shape[0] - height) // 2)


def vial_label(symbol: Symbol, number: int) -> Print:
    """A code, a number and a few lines to write on."""
    code = symbol_art(symbol, 14, 2)
    width = code.ink.shape[1]
    rule = Artwork(np.full((3, width - 40), 160, np.uint8))
    parts = [letters(f"A{number}", "DejaVuSans-Bold", 60), code, rule, rule]
    return printed(margin(stack(parts, 0, 34, 0.5), (10, 40)), _WHITE, _BLACK)


def engraved(metal: Print, symbol: Symbol, text: str) -> Print:
    """A symbol and a text marked by laser in metal; 10 texels a millimetre, 120×84 mm."""
    image = cv2.resize(metal.image, (1200, 840), interpolation=cv2.INTER_CUBIC)
    art = stack([symbol_art(symbol, 22, 1), letters(text, "DejaVuSansMono-Bold", 60)], 0, 30, 0.5)
    x, y = (1200 - art.ink.shape[1]) // 2, (840 - art.ink.shape[0]) // 2
    under = image[y : y + art.ink.shape[0], x : x + art.ink.shape[1]]
    coverage = art.ink.astype(np.float32)[..., None] / 255
    burnt = Print((under * (1 - 0.78 * coverage)).astype(np.uint8), art.marks)
    return paste(Print(image), burnt, x, y)


def circuit_board(rng: np.random.Generator, symbol: Symbol) -> Print:
    """A green board, 1800×1200 texels, with tracks, pads, drilled corners and a code on a white field."""
    image = np.full((1200, 1800, 3), (62, 96, 22), np.uint8)
    for _ in range(90):
        x, y = rng.integers(40, 1760), rng.integers(40, 1160)
        points = [(x, y)]
        for _ in range(int(rng.integers(2, 5))):
            turn = rng.integers(0, 8) * np.pi / 4
            length = rng.integers(40, 260)
            points.append((int(points[-1][0] + length * np.cos(turn)), int(points[-1][1] + length * np.sin(turn))))
        cv2.polylines(
            image, [np.array(points, np.int32)], False, (84, 128, 44), int(rng.choice([6, 8, 12])), cv2.LINE_AA
        )
        for end in (points[0], points[-1]):
            cv2.circle(image, tuple(map(int, end)), 11, (120, 190, 205), -1, cv2.LINE_AA)
            cv2.circle(image, tuple(map(int, end)), 5, (40, 50, 40), -1, cv2.LINE_AA)
    for x in (70, 1730):
        for y in (70, 1130):
            cv2.circle(image, (x, y), 46, (120, 190, 205), -1, cv2.LINE_AA)
            cv2.circle(image, (x, y), 28, (30, 34, 30), -1, cv2.LINE_AA)
    code = printed(symbol_art(symbol, 18, 2), _WHITE, _BLACK)
    name = letters("REV C 7714", "DejaVuSansMono-Bold", 54).ink
    image[1060 : 1060 + name.shape[0], 200 : 200 + name.shape[1]][name > 128] = (235, 245, 240)
    return paste(Print(image), code, 1220, 620)


def field(dye: Colour, size: tuple[int, int]) -> Print:
    """A playing mat of `size` millimetres, one texel a millimetre: two halves, a circle, a line along the edge."""
    width, height = size
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.clip(dye, 0, 255).astype(np.uint8)
    pale = (224, 226, 220)
    cv2.rectangle(image, (60, 60), (width - 60, height - 60), pale, 14)
    cv2.line(image, (width // 2, 60), (width // 2, height - 60), pale, 14)
    cv2.circle(image, (width // 2, height // 2), 240, pale, 14, cv2.LINE_AA)
    return Print(image)
