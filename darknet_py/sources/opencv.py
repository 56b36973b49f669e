"""Videos, cameras and streams by OpenCV: cameras everywhere, the rest where there is no PyAV."""

from __future__ import annotations

import time as clock
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from darknet_py.errors import VideoError
from darknet_py.find_cv2 import need_cv2_for_video
from darknet_py.limits import Limits, variable_of
from darknet_py.pictures.load import load_image
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Frame, Where, check_length
from darknet_py.sources.item import Form, Pixels, VideoInfo
from darknet_py.sources.matroska import is_cut_off

__all__ = ["OpencvVideo"]

#: First bytes of texts that lead FFmpeg to other files or addresses, which OpenCV does not keep it from.
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"<MPD")


class OpencvVideo:
    """An open video; a context manager. See `frames.Video`.

    Raises
    ------
    VideoError
        It cannot be opened, or has frames of too many pixels.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._cv2 = need_cv2_for_video(f"{where.name}: a video")
        if not where.remote and where.camera is None:
            _check_file(where)
        # Streams are silent for as long as they are read; the others say nothing then.
        self._level = _silence(self._cv2)
        self._capture: Any = _open(self._cv2, where)
        if not where.remote:
            self._speak()
        if not self._capture.isOpened():
            self._speak()
            what = "no such camera, or it is in use" if where.camera is not None else "OpenCV cannot read it"
            raise VideoError(f"{where.name}: cannot be opened as a video: {what}")
        try:
            pixels = self._check_size()
            self.info = self._describe(pixels)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> OpencvVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give it back."""
        self._capture.release()
        self._speak()

    def _speak(self) -> None:
        if self._level is not None:
            self._cv2.utils.logging.setLogLevel(self._level)
            self._level = None

    def frames(self, choice: Choice) -> Generator[Frame, None, None]:
        """See `frames.Video.frames`."""
        number, time, begun = 0, 0.0, clock.monotonic()
        while self._capture.grab():
            number += 1
            time = clock.monotonic() - begun if self.info.endless else self._time(number, time)
            if choice.is_over(time):
                return
            if not choice.wants(number, time):
                continue
            whole, pixels = self._capture.retrieve()
            if not whole:
                raise VideoError(f"{self._where.name}: frame {number} ({time:.3f} s) cannot be decoded")
            yield Frame(number, time, _Load(self._cv2, pixels))
        if not number:
            raise VideoError(f"{self._where.name}: has no frame that can be read")
        # Sound may go on for longer than the picture.
        cut_off = is_cut_off(self._where.path) if self._is_file else None
        if cut_off:
            raise VideoError(f"{self._where.name}: breaks off after frame {number} ({time:.3f} s): the file is cut off")
        if cut_off is None:
            check_length(self._where.name, self.info, number, time)

    @property
    def _is_file(self) -> bool:
        return self._where.camera is None and not self._where.remote

    def _time(self, number: int, before: float) -> float:
        seconds = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
        if number > 1 and not seconds > before:  # raw streams have no timestamps
            return before + (1 / float(self.info.rate) if self.info.rate else 0.0)
        return max(0.0, float(seconds))

    def _describe(self, pixels: int) -> VideoInfo:
        cv2, capture = self._cv2, self._capture
        rate = capture.get(cv2.CAP_PROP_FPS)
        rate = Fraction(rate).limit_denominator(1001) if 0 < rate <= 1000 else None
        total = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        total = int(total) if 0 < total < 1e9 else None
        return VideoInfo(
            pixels=pixels,
            rate=rate,
            total=total,
            duration=float(total / rate) if total and rate else None,
            endless=self._where.camera is not None or (self._where.remote and total is None),
        )

    def _check_size(self) -> int:
        width, height = (
            int(self._capture.get(which)) for which in (self._cv2.CAP_PROP_FRAME_WIDTH, self._cv2.CAP_PROP_FRAME_HEIGHT)
        )
        most = Limits.from_environment().max_pixels
        if width * height > most:
            raise VideoError(
                f"{self._where.name}: frames of {width}x{height} are more than {most:,} pixels; "
                f"{variable_of('max_pixels')} sets the limit"
            )
        return width * height


class _Load:
    """A frame of OpenCV's, to be turned to RGB by who looks at it."""

    def __init__(self, cv2: Any, pixels: Any) -> None:
        self._cv2, self._pixels = cv2, pixels

    def __call__(self, form: Form) -> Pixels:
        pixels = self._pixels
        if pixels.ndim == 2 or pixels.shape[2] == 1:
            pixels = self._cv2.cvtColor(pixels, self._cv2.COLOR_GRAY2BGR)
        if form == "rgb":
            pixels = self._cv2.cvtColor(pixels, self._cv2.COLOR_BGR2RGB)
        if form in ("rgb", "bgr"):
            return np.asarray(pixels, np.uint8)
        return load_image(pixels, channels=1 if form == "grey" else 4)


def _open(cv2: Any, where: Where) -> Any:
    if where.camera is not None:
        return cv2.VideoCapture(where.camera)
    if where.remote:
        milliseconds = int(where.timeout * 1000)
        waits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
        return cv2.VideoCapture(where.path, cv2.CAP_FFMPEG, waits)
    return cv2.VideoCapture(where.path)


def _check_file(where: Where) -> None:
    try:
        with open(where.path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise VideoError(f"{where.name}: cannot be opened as a video: {error.strerror or error}") from error
    if head.lstrip().startswith(_PLAYLISTS):
        raise VideoError(f"{where.name}: a playlist, which leads elsewhere: name the video itself, or pip install av")
    if not Path(where.path).is_file():
        raise VideoError(f"{where.name}: not a file, expected a video")


def _silence(cv2: Any) -> int | None:
    """Keep OpenCV from writing to stderr; the level of before, if it can be set."""
    logging = getattr(getattr(cv2, "utils", None), "logging", None)
    return None if logging is None else int(logging.setLogLevel(logging.LOG_LEVEL_SILENT))
