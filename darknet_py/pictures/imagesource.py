"""What a picture may come from, as the bytes of its file; pixels are `load`'s."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from darknet_py.errors import ImageError

__all__ = ["ImageSource", "ReadsBytes", "file_bytes", "refusal"]


class ReadsBytes(Protocol):
    """A file opened in binary mode, ``io.BytesIO``, an answer of ``urllib``."""

    def read(self) -> bytes: ...


#: What ``load_image`` accepts.
ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | ReadsBytes | npt.NDArray[Any] | Image.Image

#: Longer names are cut in messages: it may be a picture in base64.
_LONGEST_NAME = 300


def file_bytes(source: object) -> tuple[bytes, str] | None:
    """The bytes of the image file that `source` names, holds or reads, and what messages call it; None for others.

    A uint8 array is a file's bytes if it has one axis; with two, one of which has length 1, if it begins as an image
    file does (``cv2.imencode`` gives such arrays): otherwise it is a grey picture one pixel wide or high.

    Raises
    ------
    ImageError
        Nothing can be read.
    """
    if isinstance(source, np.ndarray):
        return _encoded(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _held(source), "image bytes"
    if isinstance(source, str | os.PathLike):
        return _read(source)
    if callable(getattr(source, "read", None)):
        return _read_object(source)
    return None


def refusal(source: object) -> ImageError:
    """The error for a source that is neither a file nor pixels."""
    if source is None:
        return ImageError(
            "image is None: did cv2.imread fail? It gives None for a file that is missing or not an image"
        )
    kind = type(source).__name__
    hint = ""
    if kind == "UMat":
        hint = ": pass image.get()"
    elif hasattr(source, "__array__"):
        hint = ": pass np.asarray(image)"
    elif isinstance(source, list | tuple):
        hint = ": pass np.array(image, np.uint8) if it holds pixels, or pictures one by one"
    return ImageError(
        f"image of type {kind}, expected a path, the bytes of an image file, a file opened in binary mode, "
        f"a uint8 array (H, W[, C]) or a PIL.Image{hint}"
    )


def _encoded(array: npt.NDArray[Any]) -> tuple[bytes, str] | None:
    if array.dtype != np.uint8 or not (array.ndim == 1 or (array.ndim == 2 and 1 in array.shape)):
        return None
    data = array.tobytes()
    if array.ndim == 2 and not _begins_as_file(data[:16]):
        return None
    return data, f"array of shape {array.shape}, taken for the bytes of an image file"


def _begins_as_file(first: bytes) -> bool:
    return (
        first.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*"))
        or (first.startswith(b"RIFF") and first[8:12] == b"WEBP")
        or (first.startswith(b"BM") and first[6:10] == bytes(4))
        or first[4:8] == b"ftyp"
    )


def _held(source: bytes | bytearray | memoryview) -> bytes:
    try:
        return bytes(source)
    except ValueError as error:
        raise ImageError(f"image bytes: cannot be read: {error}") from error


def _read(path: str | os.PathLike[Any]) -> tuple[bytes, str]:
    # Python opens the file, not OpenCV: that cannot open every Unicode path on Windows, and never says why.
    name = os.fsdecode(path)
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:40]}... ({len(name)} characters)"
    if not name:
        raise ImageError("an empty path: expected an image file")
    try:
        return Path(name).read_bytes(), shown
    except FileNotFoundError:
        url = "; addresses are not fetched: pass the bytes of the answer" if "://" in name else ""
        raise ImageError(f"{shown}: no such file (looked from {Path.cwd()}){url}") from None
    except IsADirectoryError:
        raise ImageError(f"{shown}: a directory, expected an image file") from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise ImageError(f"{shown}: cannot be read: {cause}") from error


def _read_object(source: Any) -> tuple[bytes, str]:
    name = getattr(source, "name", None)
    where = name if isinstance(name, str) and name else f"{type(source).__name__} object"
    try:
        data = source.read()
    # Whatever a stream of somebody's raises: closed, timed out, not readable.
    except Exception as error:
        raise ImageError(f"{where}: cannot be read: {error}") from error
    if isinstance(data, str):
        raise ImageError(f"{where}: opened as text, expected binary: open(path, 'rb')")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(f"{where}: read() gave {type(data).__name__}, expected the bytes of an image file")
    if not data:
        raise ImageError(f"{where}: nothing left to read, expected an image file: was it read before? Then seek(0)")
    return _held(data), where
