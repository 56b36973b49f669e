"""Videos and streams by PyAV: exact timestamps, frames of any rate, turned as their metadata says."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from darknet_py.errors import VideoError
from darknet_py.find_cv2 import find_cv2
from darknet_py.limits import Limits, variable_of
from darknet_py.pictures.load import load_image
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Frame, Where, check_length, device_of
from darknet_py.sources.item import Form, Pixels, VideoInfo
from darknet_py.version import installed_version

__all__ = ["PyavVideo"]

_MICROSECOND = Fraction(1, 1_000_000)

#: A frame's colour matrix, as FFmpeg numbers it.
_BT709 = 1

#: Of Matroska: hours, minutes, seconds.
_TAG = re.compile(r"(\d{1,5}):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)

#: What a file may lead to, such as a playlist: no connection, and from a stream no file.
_LOCAL = "file"
_REMOTE = "http,https,httpproxy,tcp,tls,udp,crypto,rtp,rtcp,srtp,rtsp,rtsps,rtmp,rtmps,rtmpt,srt"


class PyavVideo:
    """An open video; a context manager. See `frames.Video`.

    Raises
    ------
    VideoError
        It cannot be opened, has no video, or one of too many pixels.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._most = Limits.from_environment().max_pixels
        try:
            self._container: Any = _open(where, self._most)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoError(f"{where.name}: cannot be opened as a video: {_cause(error)}") from error
        try:
            streams = [one for one in self._container.streams.video if not _is_cover(one)]
            if not streams:
                raise VideoError(f"{where.name}: there is no video in it")
            self._stream: Any = streams[0]
            self._check_size(self._stream.codec_context)
            self.info = self._describe()
            self._stream.thread_type = "SLICE" if self.info.endless else "AUTO"  # by frames, it would lag behind
            self._stream.codec_context.thread_count = min(4, max(1, (os.cpu_count() or 1) // 2))
        except BaseException:
            self._container.close()
            raise
        self._origin = self._start_time()
        self.broken = 0

    def __enter__(self) -> PyavVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def frames(self, choice: Choice) -> Generator[Frame, None, None]:
        """See `frames.Video.frames`."""
        number, time, shown, first = 0, 0.0, 0.0, True
        step = 1 / float(self.info.rate) if self.info.rate else 0.0
        try:
            for frame, number in self._decoded(choice.start or 0.0):
                exact = (number - 1) * step if self._counts() else self._time(frame.pts)
                # Raw streams, and some AVI, have no timestamps.
                if exact is not None and (first or exact > time):
                    time = exact
                elif number > 1:
                    time += step
                shown, first = self._seconds(frame), False
                if choice.is_over(time):
                    return
                self._check_size(frame)
                if choice.wants(number, time):
                    yield Frame(number, time, partial(_pixels, frame))
        except (av.FFmpegError, OSError) as error:
            what = "the stream broke off" if self.info.endless else self._after(number, time)
            raise VideoError(f"{self._where.name}: {what}: {_cause(error)}") from error
        self._check_end(number, time, shown)

    def _after(self, number: int, time: float) -> str:
        return f"breaks off after frame {number} ({time:.3f} s)" if number else "has no frame that can be read"

    def _check_end(self, number: int, time: float, shown: float) -> None:
        name = self._where.name
        if not number:
            raise VideoError(f"{name}: {self._after(0, 0)}")
        check_length(name, self.info, number, time, shown)
        if self.broken:
            raise VideoError(f"{name}: {self.broken} of its {number} frames could not be decoded")

    def _decoded(self, start: float) -> Iterator[tuple[Any, int]]:
        """Frames with their numbers, from the last one on that can be decoded by itself before `start`."""
        number = 0
        for packet in self._packets(start):
            if isinstance(packet, int):
                number = packet
                continue
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                self.broken += 1
                number += 1
                continue
            for frame in frames:
                number += 1
                yield frame, number

    def _packets(self, start: float) -> Iterator[Any]:
        """Packets to decode; before the first, how many were left out. Only what is decoded costs time."""
        if start <= 0:
            yield from self._container.demux(self._stream)
            return
        held: list[Any] = []
        left_out = 0
        demuxed = self._container.demux(self._stream)
        for packet in demuxed:
            time = self._time(packet.pts)
            if packet.is_keyframe and (time is None or time <= start):
                left_out, held = left_out + len(held), []
            held.append(packet)
            if packet.dts is None or (time is not None and time >= start):
                break
        yield left_out
        yield from held
        yield from demuxed

    def _time(self, pts: int | None) -> float | None:
        base = self._stream.time_base
        return None if pts is None or base is None else float(pts * base - self._origin)

    def _counts(self) -> bool:
        """Whether its timestamps, those of AVI with B frames, are of the order of decoding, and of constant rate."""
        return bool(self._container.format.name == "avi" and self._stream.codec_context.has_b_frames and self.info.rate)

    def _seconds(self, frame: Any) -> float:
        """For how long a frame says that it is shown."""
        length = getattr(frame, "duration", None)  # not of every PyAV
        return float(length * self._stream.time_base) if length and self._stream.time_base else 0.0

    def _start_time(self) -> Fraction:
        """When the video's clock begins: what is shown then is at 0 s."""
        whole = self._container.start_time
        if whole is None:
            return Fraction(0)
        origin = int(whole) * _MICROSECOND
        stream, base = self._stream.start_time, self._stream.time_base
        if stream is not None and base is not None and abs(stream * base - origin) < 2 * _MICROSECOND:
            return int(stream) * Fraction(base)  # exactly
        return origin

    def _describe(self) -> VideoInfo:
        stream, container = self._stream, self._container
        rate = stream.average_rate or stream.guessed_rate
        length = _length(stream)
        if length is None and container.duration and len(container.streams) == 1:  # else it is that of the longest
            length = container.duration * _MICROSECOND
        size = -1
        with suppress(Exception):  # of what has no bytes, such as RTSP
            size = container.size
        return VideoInfo(
            pixels=stream.codec_context.width * stream.codec_context.height,
            rate=Fraction(rate) if rate else None,
            time_base=Fraction(stream.time_base) if stream.time_base else None,
            total=stream.frames or (math.floor(length * rate + Fraction(1, 2)) if length and rate else None),
            duration=None if length is None else float(length),
            endless=self._where.camera is not None
            or (self._where.remote and not (length or container.duration) and size <= 0),
        )

    def _check_size(self, picture: Any) -> None:
        if picture.width * picture.height > self._most:
            raise VideoError(
                f"{self._where.name}: frames of {picture.width}x{picture.height} are more than {self._most:,} pixels; "
                f"{variable_of('max_pixels')} sets the limit"
            )


def _open(where: Where, most: int) -> Any:
    if where.camera is not None:
        device, kind = device_of(where.camera)
        return av.open(device, format=kind)
    if where.remote:
        options = {
            "protocol_whitelist": _REMOTE,
            "rtsp_transport": "tcp",
            "user_agent": f"darknet-py/{installed_version()}",
            "analyzeduration": "2000000",
            "fpsprobesize": "0",  # a slow camera is not to be watched for twenty frames first
            "max_pixels": str(most),
        }
        return av.open(where.path, options=options, timeout=(where.timeout, where.timeout))
    if not Path(where.path).exists():
        raise FileNotFoundError("no such file")
    # With its protocol: a name such as a:b.mp4 would be taken for one.
    return av.open(f"file:{where.path}", options={"protocol_whitelist": _LOCAL, "max_pixels": str(most)})


def _length(stream: Any) -> Fraction | None:
    """How long a stream itself says that it is: in its header or, in Matroska and WebM, in a tag."""
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    found = _TAG.fullmatch(str(stream.metadata.get("DURATION", "")))
    if found is None:
        return None
    return (int(found[1]) * 3600 + int(found[2]) * 60 + Fraction(found[3])) or None


def _is_cover(stream: Any) -> bool:
    """Whether it is the picture on the cover of a piece of music."""
    disposition = getattr(stream, "disposition", 0)
    return bool(int(getattr(disposition, "value", disposition) or 0) & 0x400)  # a flag or, before PyAV 18, an enum


def _pixels(frame: Any, form: Form) -> Pixels:
    try:
        pixels: Pixels = frame.to_ndarray(format="bgr24" if form == "bgr" else "rgb24", **_matrix_of(frame))
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"a frame of format {frame.format.name} cannot be turned to pixels: {error}") from error
    pixels = _turned(pixels, frame)
    if form in ("rgb", "bgr"):
        return pixels
    return load_image(pixels, bgr=False, channels=1 if form == "grey" else 4)


def _matrix_of(frame: Any) -> dict[str, str]:
    """The colours of HD videos, by which PyAV 16 goes only if it is told twice: by 24 of 255 they are off otherwise."""
    return {"src_colorspace": "ITU709", "dst_colorspace": "DEFAULT"} if frame.colorspace == _BT709 else {}


def _turned(pixels: Pixels, frame: Any) -> Pixels:
    """Upright, as a telephone says that it was held."""
    quarters = round((getattr(frame, "rotation", 0) or 0) / 90) % 4  # counterclockwise
    if not quarters:
        return pixels
    cv2 = find_cv2()
    if cv2 is None:
        return np.ascontiguousarray(np.rot90(pixels, quarters))
    # A sixth of the time of NumPy's copy.
    ways = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
    return np.asarray(cv2.rotate(pixels, ways[quarters]), np.uint8)


def _cause(error: Exception) -> str:
    if isinstance(error, av.InvalidDataError):
        return "its data are not a video's, or damaged"
    if isinstance(error, av.ExitError | TimeoutError):  # PyAV's own end of waiting
        return "nothing came in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
