"""The narrow part between sources and whoever looks at pictures: one picture or frame, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import DarknetError

__all__ = ["Form", "Item", "Kind", "Pixels", "Source", "VideoInfo"]

Pixels = NDArray[np.uint8]

#: The channels: (H, W, 3) in either order, (H, W, 1) or, of pictures that have a fourth, (H, W, 4).
Form = Literal["rgb", "bgr", "grey", "rgba"]

#: How a source wants to be looked at: pictures one by one, files of video as fast as it goes, live ones at once.
Kind = Literal["picture", "video", "live"]


@dataclass(frozen=True, eq=False)
class Item:
    """One picture or frame of a source, not yet turned to pixels, or why there is none.

    Attributes
    ----------
    name : str
        Of the source, as its user called it; an address without its password.
    load : callable
        Form → pixels, uint8. Raises `DarknetError`. May be called in any thread, once.
    frame : int or None
        Number in the video or stream, from 1, those left out counted; None for a picture.
    time : float or None
        Seconds from the start of the video or stream.
    seconds : float
        What reading took so far, besides `load`.
    file : str or None
        The picture's file, where it is one: for who reads parts of it.
    """

    name: str
    load: Callable[[Form], Pixels]
    frame: int | None = None
    time: float | None = None
    seconds: float = 0.0
    file: str | None = None

    @classmethod
    def failed(cls, name: str, error: DarknetError, frame: int | None = None, time: float | None = None) -> Item:
        """An item whose `load` raises `error`."""

        def load(_: Form) -> Pixels:
            raise error

        return cls(name, load, frame, time)


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself before its first frame.

    Attributes
    ----------
    pixels : int
        Of a frame, width times height; 0 if that is not known.
    rate : Fraction or None
        Frames per second, on the average.
    time_base : Fraction or None
        The unit in seconds of which all its timestamps are multiples.
    total : int or None
        Frames, as far as that is known beforehand.
    duration : float or None
        Seconds.
    endless : bool
        It has no end that is known: it is a stream.
    """

    pixels: int = 0
    rate: Fraction | None = None
    time_base: Fraction | None = None
    total: int | None = None
    duration: float | None = None
    endless: bool = False


class Source(Protocol):
    """A picture, a video, a camera or a stream.

    Attributes
    ----------
    name : str
        As in its items.
    kind : {"picture", "video", "live"}
    info : VideoInfo or None
        Of a video, from its first item on.
    dropped : int
        Frames that came and were not looked at for lack of time.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def info(self) -> VideoInfo | None: ...

    @property
    def dropped(self) -> int: ...

    def items(self) -> Generator[Item, None, None]:
        """Its pictures or frames in order, each read when it is asked for; once. What goes wrong is the last item."""
