"""What reads a video, whichever library does it, and which one that is."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

from darknet_py.errors import UnsupportedError, VideoError
from darknet_py.find_cv2 import find_cv2
from darknet_py.sources.choice import Choice
from darknet_py.sources.item import Form, Pixels, VideoInfo

__all__ = ["Frame", "Video", "Where", "check_length", "device_of", "has_pyav", "open_video"]


#: A video that ends this much before its header says is broken off: seconds, a share of its length, and frames, as the
#: last one is shown for a while.
_SHORT, _SHARE, _FRAMES = 1.0, 0.02, 1.5


class Frame(NamedTuple):
    """A decoded frame: its number from 1, its time in seconds from the start, and what turns it to pixels."""

    number: int
    time: float
    load: Callable[[Form], Pixels]


@dataclass(frozen=True)
class Where:
    """Where a video is.

    Attributes
    ----------
    name : str
        For messages.
    path : str
        A file's path or an address, with its password; empty for a camera.
    camera : int or None
    remote : bool
        It is an address.
    timeout : float
        Seconds to wait for an address.
    """

    name: str
    path: str = ""
    camera: int | None = None
    remote: bool = False
    timeout: float = 10.0


class Video(AbstractContextManager["Video"], Protocol):
    """An open video."""

    @property
    def info(self) -> VideoInfo: ...

    def frames(self, choice: Choice) -> Generator[Frame, None, None]:
        """The frames that `choice` wants. Raises VideoError where it breaks off, after the frames before."""


@cache
def has_pyav() -> bool:
    """Whether PyAV can be imported; without, OpenCV reads and writes videos."""
    try:
        importlib.import_module("av")
    except Exception:  # missing, or of another Python, or without its libraries
        return False
    return True


def open_video(where: Where) -> Video:
    """Open a video, a camera or a stream.

    Raises
    ------
    VideoError
        It cannot be read.
    UnsupportedError
        There is neither PyAV nor OpenCV.
    """
    if where.camera is not None and (find_cv2() is not None or not has_pyav()):
        from darknet_py.sources.opencv import OpencvVideo

        return OpencvVideo(where)  # its way to cameras is the same on every system
    if has_pyav():
        from darknet_py.sources.pyav import PyavVideo

        return PyavVideo(where)
    if find_cv2() is None:
        raise UnsupportedError(
            f"{where.name}: videos and streams need PyAV (pip install av) or OpenCV (pip install opencv-python), "
            "and neither can be imported"
        )
    from darknet_py.sources.opencv import OpencvVideo

    return OpencvVideo(where)


def check_length(name: str, info: VideoInfo, number: int, time: float, shown: float = 0.0) -> None:
    """Raise VideoError if a video whose last frame is `number`, from `time` on for `shown` s, should have gone on."""
    length = info.duration
    if length is None or info.endless:
        return
    frames = _FRAMES / float(info.rate) if info.rate else 0.0
    if length - time > max(_SHORT, _SHARE * length, frames, 1.1 * shown):
        raise VideoError(f"{name}: breaks off after frame {number} ({time:.3f} s), {length:.3f} s were expected")


def device_of(camera: int) -> tuple[str, str]:
    """What FFmpeg calls a camera on this system, and by which of its formats it is read."""
    if os.name == "nt":
        return f"video={camera}", "dshow"
    if os.uname().sysname == "Darwin":
        return str(camera), "avfoundation"
    return f"/dev/video{camera}", "v4l2"
