"""From what a row has, an address or bytes, to a picture."""

from __future__ import annotations

import io
import os
from typing import Any

from darknet_py.errors import ImageError
from darknet_py.limits import Limits, variable_of
from darknet_py.pictures.imagesource import ImageSource
from darknet_py.ray.installed import need
from darknet_py.sources.addresses import fetch_picture
from darknet_py.sources.input_kinds import is_address, is_fetched, without_password

__all__ = ["picture_source"]


def picture_source(value: Any, folder: str) -> ImageSource:
    """What `Detector.detect` takes, for the value of a row.

    Parameters
    ----------
    value : str or bytes
        A path, an http(s) address, another address that pyarrow opens (``s3://``, ``gs://``, ``file://``), or the
        bytes of a picture's file.
    folder : str
        Where paths that are relative begin.

    Raises
    ------
    ImageError
        It cannot be fetched, or is neither.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str) or not value:
        what = "nothing" if value is None or value == "" else type(value).__name__
        raise ImageError(f"{what} in place of a picture: expected a path, an address or a file's bytes")
    if is_fetched(value):
        return _named(fetch_picture(value), value)
    if is_address(value):
        return _named(_stored(value), value)
    return value if folder == os.getcwd() else os.path.join(folder, value)


def _stored(address: str) -> bytes:
    """The bytes of a file in an object store."""
    fs = need("pyarrow.fs")
    name, most = without_password(address), Limits.from_environment().max_bytes
    try:
        store, path = fs.FileSystem.from_uri(address)
        with store.open_input_file(path) as file:
            if file.size() > most:
                raise ImageError(
                    f"{name}: {file.size():,} bytes, more than the {most:,} that a picture from elsewhere may have; "
                    f"{variable_of('max_bytes')} sets the limit"
                )
            data: bytes = file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name}: cannot be read ({error})") from error
    return data


def _named(data: bytes, address: str) -> ImageSource:
    """An opened file, whose name messages say."""
    file = io.BytesIO(data)
    file.name = without_password(address)
    return file
