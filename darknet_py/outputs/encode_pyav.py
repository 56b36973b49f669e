"""Videos written by PyAV: H.264 in MP4, each frame with the time that it has in the source."""

from __future__ import annotations

import io
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darknet_py.errors import DarknetError, VideoError
from darknet_py.files import WholeFile, write_error
from darknet_py.sources.item import VideoInfo

__all__ = ["PyavEncoder"]

#: Fragments while it is written, so that what breaks off can be played, and an ordinary file at the end. The second is
#: of an FFmpeg before 8, which leaves it in fragments.
_FLAGS = ("hybrid_fragmented+frag_keyframe", "frag_keyframe+empty_moov+default_base_moof")

#: Else what begins later than at 0 is moved there.
_OPTIONS = {"avoid_negative_ts": "disabled"}

#: (encoder, its options), the first that this FFmpeg has. No B frames: in fragments they would shift all times.
_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"preset": "veryfast", "crf": "20", "bf": "0"}),
    ("h264", {"bf": "0"}),
    ("mpeg4", {"q:v": "3", "bf": "0"}),
)
#: What MP4 and every encoder take as a unit of time; all that is not in the source's own is rounded to it.
_BASE = Fraction(1, 60000)
_LARGEST = 1 << 16
_RATE = Fraction(25)
#: From this height on, pictures are encoded with the colours of BT.709, as players take them to be.
_HD = 720
_BT601, _BT709, _LIMITED = 6, 1, 1


class PyavEncoder:
    """One video; see `videos.Encoder`."""

    def __init__(self, path: Path, width: int, height: int, info: VideoInfo) -> None:
        self._path, self._size = path, (width, height)
        self._file = _Sink(path)
        try:
            self._container, self._stream = self._begin(info)
        except BaseException:
            self._file.discard()
            raise
        self._last = -1

    def _begin(self, info: VideoInfo) -> tuple[Any, Any]:
        error: Exception | None = None
        for flags in _FLAGS:
            for name, options in _ENCODERS:
                self._file.restart()
                try:
                    container = av.open(self._file, "w", format="mp4", options={"movflags": flags, **_OPTIONS})
                    stream = self._add_stream(container, name, options, info)
                    container.start_encoding()
                    return container, stream
                except (av.FFmpegError, ValueError) as failed:
                    error = failed
        raise VideoError(f"{self._path}: this PyAV cannot write MP4: {error}") from error

    def _add_stream(self, container: Any, name: str, options: dict[str, str], info: VideoInfo) -> Any:
        rate = info.rate or _RATE
        # At most a second or two are lost where nobody could finish the file.
        stream = container.add_stream(name, rate=rate, options={**options, "g": str(max(1, min(60, round(2 * rate))))})
        stream.width, stream.height = self._size
        # Colours at half the resolution need even sides.
        stream.pix_fmt = "yuv420p" if not any(side % 2 for side in self._size) else "yuv444p"
        base = info.time_base or _BASE
        if name == "mpeg4" and base.denominator >= _LARGEST:
            base = _BASE
        stream.time_base = stream.codec_context.time_base = base
        self._base, self._step = base, max(1, round(1 / rate / base))
        self._colours = _BT709 if self._size[1] >= _HD else _BT601
        for attribute in ("colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, attribute, self._colours)
        stream.codec_context.color_range = _LIMITED
        return stream

    def write(self, pixels: NDArray[np.uint8], time: float) -> None:
        """Add a frame."""
        picture = av.VideoFrame.from_ndarray(_fitting(pixels, self._size), format="rgb24")
        matrix = "ITU709" if self._colours == _BT709 else "ITU601"
        picture = picture.reformat(format=self._stream.pix_fmt, dst_colorspace=matrix)
        self._last = max(round(Fraction(time) / self._base), self._last + 1)
        picture.pts, picture.time_base = self._last, self._base
        with suppress(AttributeError):  # of a PyAV that does not let it be set
            picture.duration = self._step
        try:
            self._container.mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """Make it whole and give it its name, also after an error: what was written can be played."""
        try:
            try:
                self._container.mux(self._stream.encode())
            finally:
                self._container.close()
        except (av.FFmpegError, OSError) as error:
            self._file.commit()
            raise self._failed(error) from error
        try:
            self._file.commit()
        except OSError as error:
            raise write_error(self._path, error) from error

    def discard(self) -> None:
        """Drop it."""
        with suppress(av.FFmpegError, OSError):
            self._container.close()
        self._file.discard()

    def _failed(self, error: Exception) -> DarknetError:
        if self._file.error is not None:
            return write_error(self._path, self._file.error)
        return VideoError(f"{self._path}: cannot be encoded: {error}")


def _fitting(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """RGB of the video's size, which a stream may leave in the middle."""
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if (pixels.shape[1], pixels.shape[0]) != size:
        pixels = np.asarray(Image.fromarray(pixels).resize(size), np.uint8)
    return np.ascontiguousarray(pixels)


class _Sink(io.RawIOBase):
    """A `WholeFile` as PyAV writes to files."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = WholeFile(path)
        self.error: OSError | None = None
        try:
            self._file.open()
        except (OSError, ValueError) as error:
            raise write_error(path, error) from error
        self._at = self._size = 0

    def restart(self) -> None:
        """Begin anew."""
        self._file.seek(0)
        self._file.truncate()
        self._at = self._size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.error = self.error or error  # PyAV says only that there was one
            raise
        self._at += len(data)
        self._size = max(self._size, self._at)
        return len(data)

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        self._file.seek(self._at)
        return self._at

    def commit(self) -> None:
        self._file.commit()

    def discard(self) -> None:
        self._file.discard()
