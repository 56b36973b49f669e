"""A code in a picture, read or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Code"]


@dataclass(frozen=True)
class Code:
    """A code in a picture.

    Attributes
    ----------
    text : str or None
        What it says; None if it could not be read. Of an ArUco marker, its number.
    kind : str
        What it was read as: "QR Code", "EAN-13", "Code 128", "Data Matrix", ... as zxing-cpp calls it, or "ArUco
        DICT_4X4_50". Of one that was not read, the class that the detector gave it.
    xyxy : tuple of 4 floats
        Left, top, right, bottom in pixels of the picture.
    corners : tuple of 4 (x, y), or None
        As the code is printed, from its top left clockwise; of a barcode, of the part that was read. None if not read.
    class_name : str or None
        What the detector took it for; None if it was read where the detector found nothing.
    confidence : float or None
        The detector's; None likewise.
    """

    text: str | None
    kind: str
    xyxy: tuple[float, float, float, float]
    corners: tuple[tuple[float, float], ...] | None = None
    class_name: str | None = None
    confidence: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values, with numbers to a tenth of a pixel and a thousandth."""
        return {
            "text": self.text,
            "kind": self.kind,
            **dict(zip(("left", "top", "right", "bottom"), (round(edge, 1) for edge in self.xyxy), strict=True)),
            "corners": None if self.corners is None else [[round(x, 1), round(y, 1)] for x, y in self.corners],
            "class_name": self.class_name,
            "confidence": None if self.confidence is None else round(self.confidence, 3),
        }

    @classmethod
    def from_json(cls, plain: Any) -> Code:
        """The code of which `to_json` made these values.

        Raises
        ------
        KeyError, TypeError, ValueError
            It made no such values.
        """
        corners, confidence = plain["corners"], plain["confidence"]
        left, top, right, bottom = (float(plain[edge]) for edge in ("left", "top", "right", "bottom"))
        return cls(
            None if plain["text"] is None else str(plain["text"]),
            str(plain["kind"]),
            (left, top, right, bottom),
            None if corners is None else tuple((float(x), float(y)) for x, y in corners),
            None if plain["class_name"] is None else str(plain["class_name"]),
            None if confidence is None else float(confidence),
        )
