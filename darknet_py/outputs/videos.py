"""Videos with the boxes drawn: frames of the true size, shown at the times at which the source shows them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.detections import Detections
from darknet_py.find_cv2 import find_cv2
from darknet_py.outputs.record import Record
from darknet_py.sources.frames import has_pyav
from darknet_py.sources.item import VideoInfo
from darknet_py.workers import Workers

__all__ = ["AnnotatedVideos", "Encoder"]

Pixels = NDArray[np.uint8]

#: Frames that may wait to be drawn and encoded.
_AHEAD = 8


class Encoder(Protocol):
    """One video that is being written, beside its name until it is whole."""

    def write(self, pixels: Pixels, time: float) -> None:
        """Add a frame (H, W, 3) or (H, W, 1), RGB or grey, that is shown at `time`, in seconds, later than the last."""

    def finish(self) -> None:
        """Make it whole and give it its name."""

    def discard(self) -> None:
        """Drop it."""


@dataclass
class _Open:
    """A video under construction; the encoder is made when the size of the first frame is known."""

    path: Path
    info: VideoInfo
    start: float
    encoder: Encoder | None = None
    failed: bool = False


class AnnotatedVideos:
    """A `Writer` of an annotated video for each source that has frames; drawing and encoding are done by a thread.

    Stopped in the middle, each video holds the frames that were done, and can be played.

    Parameters
    ----------
    draw : callable, optional
        Pixels (RGB or grey) and detections → pixels; by default `annotate`.
    """

    needs_pixels = True

    def __init__(self, draw: Callable[[Pixels, Detections], Pixels] | None = None) -> None:
        self._draw = draw or _annotated
        self._current: _Open | None = None
        self._pending: deque[Future[None]] = deque()
        self._thread = Workers(1)
        self.written: list[Path] = []

    def __enter__(self) -> AnnotatedVideos:
        return self

    def begin(self, path: Path, info: VideoInfo | None, start: float = 0.0) -> None:
        """Frames that come belong to `path` now, of a source that says `info`; what is shown at `start` comes first."""
        self.end()
        self._current = _Open(path, info or VideoInfo(), start)

    def write(self, record: Record) -> None:
        """Draw a frame and encode it, some time later; records without pixels or without a frame have none."""
        current = self._current
        if current is None or record.frame is None or record.pixels is None or record.detections is None:
            return
        work = partial(self._encode, current, record.pixels, record.detections)
        self._pending.append(self._thread.submit(work, max(0.0, (record.time or 0.0) - current.start)))
        while len(self._pending) > _AHEAD:
            self._pending.popleft().result()

    def _encode(self, current: _Open, pixels: Pixels, found: Detections, time: float) -> None:
        if current.failed:  # said once
            return
        try:
            drawn = self._draw(pixels, found)
            if current.encoder is None:
                current.encoder = _encoder(current.path, drawn.shape[1], drawn.shape[0], current.info)
            current.encoder.write(drawn, time)
        except BaseException:
            current.failed = True
            raise

    def end(self) -> None:
        """Finish the video that is being written, if any; whatever fails, it can be played."""
        current, self._current = self._current, None
        try:
            while self._pending:
                self._pending.popleft().result()
        finally:
            for future in self._pending:
                future.cancel()
            self._pending.clear()
            if current is not None and current.encoder is not None:
                current.encoder.finish()
                self.written.append(current.path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._thread:
            self.end()


def _encoder(path: Path, width: int, height: int, info: VideoInfo) -> Encoder:
    if has_pyav() or find_cv2() is None:
        from darknet_py.outputs.encode_pyav import PyavEncoder

        return PyavEncoder(path, width, height, info)
    from darknet_py.outputs.encode_opencv import OpencvEncoder

    return OpencvEncoder(path, width, height, info)


def _annotated(pixels: Pixels, detections: Detections) -> Pixels:
    from darknet_py.draw import annotate  # fonts, which a run that draws nothing does not need

    return annotate(pixels, detections, bgr=False)
