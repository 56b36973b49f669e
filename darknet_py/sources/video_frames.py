"""Videos and streams in Python: frames with their times and what is in them, as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

from darknet_py.boxes.detections import Detections
from darknet_py.sources.item import Form, Pixels
from darknet_py.sources.looking import Detect, look
from darknet_py.sources.opening import Asked, open_video_source

__all__ = ["VideoFrame", "video_frames"]


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame that was looked at; unpacks as ``pixels, time, found``.

    Attributes
    ----------
    pixels : ndarray, shape (H, W, 3), uint8
        BGR, as cv2 has them, unless RGB was asked for.
    time : float
        Seconds from the start of the video, or since the first frame of a stream.
    found : Detections
        In pixels of the frame.
    number : int
        Of the frame in the video or stream, from 1; those that were left out count.
    dropped : int
        Frames of a stream that came so far and were not looked at for lack of time.
    """

    pixels: Pixels
    time: float
    found: Detections
    number: int
    dropped: int

    def __iter__(self) -> Iterator[Pixels | float | Detections]:
        return iter((self.pixels, self.time, self.found))


def video_frames(
    source: str | os.PathLike[str] | int,
    asked: Asked,
    detect: Detect,
    *,
    form: Form,
    threads: int,
    begin: Callable[[], Detect] | None = None,
) -> Generator[VideoFrame, None, None]:
    """The frames of a video, a camera or a stream, looked at; raises what ended it too early."""
    opened = open_video_source(source, asked)
    with closing(look([opened], detect, form=form, threads=threads, begin=begin)) as looked_at:
        for seen in looked_at:
            if seen.error is not None:
                raise seen.error
            assert seen.pixels is not None and seen.found is not None
            yield VideoFrame(seen.pixels, seen.item.time or 0.0, seen.found, seen.item.frame or 1, opened.dropped)
