"""How hard the codes of a scene are to see: as hard as they are met, or easy enough to begin with."""

from __future__ import annotations

from dataclasses import dataclass

from training.scenes.symbols import BARCODE, Symbol

__all__ = ["EASY", "HARD", "Difficulty"]


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """What makes codes hard to see.

    Attributes
    ----------
    counts : tuple of float
        Shares of scenes with 0, 1, ... codes, close-ups apart.
    close : float
        Share of scenes in which one code fills the picture.
    smallest : float
        A code's longer side in parts of the picture's side along it, at least.
    pitch, blur : (float, float)
        Pixels of a module, at least, and standard deviation of the lens's blur in modules, at most; of barcodes and of
        other codes.
    marked : float
        1 for dented and burnt codes and pale prints as often as they are met, 0 for none.
    """

    counts: tuple[float, ...]
    close: float
    smallest: float
    pitch: tuple[float, float]
    blur: tuple[float, float]
    marked: float

    def least_pitch(self, symbol: Symbol) -> float:
        """`pitch` of a symbol."""
        return self.pitch[symbol.class_id != BARCODE]

    def most_blur(self, symbol: Symbol) -> float:
        """`blur` of a symbol."""
        return self.blur[symbol.class_id != BARCODE]


#: Up to what is still a code to a person: 12 pixels of an input of 416; a narrower module leaves no texture that could
#: be told from grey, and wide bars are still seen where modules are not.
HARD = Difficulty(
    counts=(0.16, 0.34, 0.21, 0.11, 0.08, 0.04, 0.03, 0.02, 0.01), close=0.44, smallest=12 / 416, pitch=(0.4, 0.6),
    blur=(1.1, 0.8), marked=1.0,
)  # fmt: skip
#: Plain codes, and more of them, to learn first what they look like.
EASY = Difficulty(
    counts=(0.02, 0.1, 0.14, 0.2, 0.2, 0.14, 0.1, 0.06, 0.04), close=0.25, smallest=36 / 416, pitch=(1.0, 2.0),
    blur=(0.5, 0.35), marked=0.0,
)  # fmt: skip
