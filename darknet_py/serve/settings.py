"""What a server accepts and how much of it at once."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Bounds and manners of a server.

    Attributes
    ----------
    name : str
        What the model is called in answers.
    options : tuple of (str, object)
        Those of ``Detector.detect`` that hold where a request does not say: thresh, classes, ...
    newer_names : bool
        Whether labels are COCO's newer words (motorcycle, not motorbike) where a request does not say.
    token : str or None
        What requests must show; None asks for nothing.
    max_bytes : int
        Of a request's body.
    max_pixels : int
        Of a picture, width times height.
    waiting : int
        Pictures in the house at the same time; one more is answered 503.
    most_boxes : int
        Of an answer, the most confident ones.
    patience : float
        Seconds that a body may take to arrive, and a picture to be answered.
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    newer_names: bool = False
    token: str | None = None
    max_bytes: int = 16 << 20
    max_pixels: int = 64_000_000
    waiting: int = 32
    most_boxes: int = 1000
    patience: float = 30.0
