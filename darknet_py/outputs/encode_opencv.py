"""Videos written by OpenCV, where there is no PyAV: of constant rate, a frame being repeated until the next is due."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import VideoError
from darknet_py.files import check_writable, move_whole, write_error
from darknet_py.find_cv2 import need_cv2_for_video
from darknet_py.sources.item import VideoInfo

__all__ = ["OpencvEncoder"]

_CODEC = "mp4v"
_RATE = 25.0
#: Frames that one is repeated for at most: a stream that was away for an hour does not make an hour of stills.
_MOST_REPEATED = 10_000


class OpencvEncoder:
    """One video; see `videos.Encoder`."""

    def __init__(self, path: Path, width: int, height: int, info: VideoInfo) -> None:
        self._cv2 = need_cv2_for_video(f"{path}: a video")
        check_writable(path)
        self._path, self._size = path, (width, height)
        self._part = path.with_name(f".{path.stem[:40]}-{os.urandom(4).hex()}.tmp{path.suffix}")
        self._rate = float(info.rate) if info.rate else _RATE
        code = self._cv2.VideoWriter_fourcc(*_CODEC)
        self._writer: Any = self._cv2.VideoWriter(str(self._part), code, self._rate, self._size)
        if not self._writer.isOpened():
            self._remove()
            raise VideoError(
                f"{path}: OpenCV cannot write a video of {width}x{height} at {self._rate:g} frames per second: "
                "pip install av"
            )
        self._count = 0
        self._before: NDArray[np.uint8] | None = None

    def write(self, pixels: NDArray[np.uint8], time: float) -> None:
        """Add a frame."""
        place = max(round(time * self._rate), self._count)
        for _ in range(min(place - self._count, _MOST_REPEATED)):
            self._append(self._before if self._before is not None else pixels)
        self._append(pixels)
        self._before = pixels

    def _append(self, pixels: NDArray[np.uint8]) -> None:
        cv2 = self._cv2
        if pixels.ndim == 2 or pixels.shape[2] == 1:
            picture = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        else:
            picture = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size)
        self._writer.write(picture)
        self._count += 1

    def finish(self) -> None:
        """Make it whole, see that it is, and give it its name."""
        self._writer.release()
        written = self._frames()
        if written < self._count:  # OpenCV does not say that a disk is full
            self._remove()
            raise VideoError(f"{self._path}: OpenCV wrote {written} of {self._count} frames: is the disk full?")
        try:
            move_whole(self._part, self._path)
        except OSError as error:
            self._remove()
            raise write_error(self._path, error) from error

    def _frames(self) -> int:
        capture = self._cv2.VideoCapture(str(self._part))
        try:
            return int(capture.get(self._cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        finally:
            capture.release()

    def discard(self) -> None:
        """Drop it."""
        self._writer.release()
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self._part.unlink(missing_ok=True)
