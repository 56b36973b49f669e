"""What zxing-cpp reads in a picture looked at in several ways, and which of it is certain."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

__all__ = ["KINDS", "Code", "agreed", "alike", "reads"]

Grey = NDArray[np.uint8]

#: Symbologies with a class of their own; all others are barcodes, or nothing that is looked for.
KINDS = {
    "QR Code": "qr",
    "Micro QR Code": "qr",
    "rMQR Code": "qr",
    "Data Matrix": "datamatrix",
    "PDF417": "pdf417",
    "MicroPDF417": "pdf417",
    "Compact PDF417": "pdf417",
    "Aztec": "aztec",
    "Aztec Code": "aztec",
    "Aztec Rune": "aztec",
    "MaxiCode": "maxicode",
}

#: Turns, in degrees, and enlargements at which a picture is read. Together they make reads that do not share a
#: binarisation or a sampling grid.
_WAYS = ((0, 1.0), (0, 2.0), (0, 0.5), (90, 1.0), (7, 1.0), (7, 1.7), (45, 1.4), (-8, 0.7))

#: Pixels of the largest picture that is read.
_MOST = 12_000_000


@dataclass(frozen=True)
class Code:
    """A code in a picture.

    Attributes
    ----------
    kind, symbology, text : str
    quad : ndarray, shape (4, 2), float64
        Its corners in pixels: top left, top right, bottom right, bottom left, as it is printed.
    upright : bool
        Whether the picture was read along its rows or columns: lines across a barcode that is read in a turned picture
        may be aslant.
    """

    kind: str
    symbology: str
    text: str
    quad: NDArray[np.float64]
    upright: bool = True


def reads(grey: Grey) -> Iterator[list[Code]]:
    """What is read, one way after the other."""
    height, width = grey.shape
    for turn, scale in _WAYS:
        if width * height * scale * scale > _MOST:
            continue
        way, size = _way(width, height, turn, scale)
        shrinks = scale < 1
        seen = cv2.warpAffine(
            grey, way[:2], size, flags=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        back = np.linalg.inv(way)
        upright = turn % 90 == 0
        yield [
            _code(found, back, upright)
            for found in zxingcpp.read_barcodes(np.ascontiguousarray(seen), text_mode=zxingcpp.TextMode.Plain)
            if found.text
        ]


def _way(width: int, height: int, turn: float, scale: float) -> tuple[NDArray[np.float64], tuple[int, int]]:
    way = np.eye(3)
    way[:2] = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    across, down = abs(way[0, :2]) @ (width, height), abs(way[1, :2]) @ (width, height)
    way[:2, 2] += np.array([across - width, down - height]) / 2
    return way, (max(1, math.ceil(across)), max(1, math.ceil(down)))


def _code(found: Any, back: NDArray[np.float64], upright: bool) -> Code:
    place = found.position
    corners = [(at.x, at.y, 1.0) for at in (place.top_left, place.top_right, place.bottom_right, place.bottom_left)]
    symbology = str(found.format)
    return Code(KINDS.get(symbology, "barcode"), symbology, found.text, (np.array(corners) @ back.T)[:, :2], upright)


def agreed(ways: Sequence[Sequence[Code]], text: str | None) -> tuple[list[Code], bool]:
    """The codes that are certain, and whether that is all of what was read.

    A code is certain if two ways read the same text at its place and, where there is a text beside the picture and
    a single place that was read, the text is that one; also if one way reads the text that is beside the picture.
    """
    places: list[list[Code]] = []
    for way in ways:
        for code in way:
            group = next((group for group in places if _same_place(group[0], code)), None)
            places.append([code]) if group is None else group.append(code)
    certain = [one for group in places if (one := _certain(group, text, alone=len(places) == 1)) is not None]
    return certain, len(certain) == len(places)


def _certain(group: Sequence[Code], text: str | None, *, alone: bool) -> Code | None:
    known = [code for code in group if text is not None and alike(code.symbology, code.text, text)]
    if not known and (len({(code.symbology, code.text) for code in group}) > 1 or len(group) < 2):
        return None
    if not known and text is not None and alone:
        return None
    chosen = known or list(group)
    chosen = [code for code in chosen if code.upright] or chosen
    quads = np.array([code.quad for code in chosen])
    # The one in the middle: a mean of corners that two ways name in another order would be no place at all.
    far = np.linalg.norm(quads[:, None] - quads[None], axis=-1).sum(axis=(1, 2))
    return chosen[int(far.argmin())]


def alike(symbology: str, read: str, text: str) -> bool:
    """Whether what was read is the text beside the picture, which leaves out the letters around a Codabar."""
    return plain(read) == plain(text) or (symbology == "Codabar" and plain(read[1:-1]) == plain(text))


def plain(text: str) -> str:
    """Text without what writers of the text files spell in their own ways; UPC-A is EAN-13 without its first 0.

    Of a DataBar code that is a number alone, (01) says no more than that.
    """
    if text.startswith("(01)") and text.count("(") == 1:
        text = text[4:]
    kept = "".join(sign for sign in text if sign.isalnum())
    return kept.lstrip("0") if kept.isdigit() else kept


def _same_place(a: Code, b: Code) -> bool:
    middle_a, middle_b = a.quad.mean(axis=0), b.quad.mean(axis=0)
    reach = max(np.ptp(a.quad, axis=0).max(), np.ptp(b.quad, axis=0).max())
    return bool(np.linalg.norm(middle_a - middle_b) < 0.5 * reach)
