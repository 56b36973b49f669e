"""Pictures as sources: files, and what came over standard input or from an address as bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator

from darknet_py.errors import DarknetError
from darknet_py.pictures.imagesource import ImageSource
from darknet_py.pictures.load import load_image, pick_channels
from darknet_py.sources.item import Form, Item, Kind, Pixels, VideoInfo

__all__ = ["FailedSource", "PictureSource"]


class PictureSource:
    """One picture.

    Parameters
    ----------
    name : str
    data : str, bytes or callable, optional
        The file if it is another than `name`, its bytes, or what gives them when they are needed.
    """

    kind: Kind = "picture"
    info: VideoInfo | None = None
    dropped = 0

    def __init__(self, name: str, data: str | bytes | Callable[[], bytes] | None = None) -> None:
        self.name = name
        self._data = name if data is None else data

    def items(self) -> Generator[Item, None, None]:
        """The one item."""
        yield Item(self.name, self._load, file=self._data if isinstance(self._data, str) else None)

    def _load(self, form: Form) -> Pixels:
        data = self._data() if callable(self._data) else self._data
        source = data if isinstance(data, str) else _named(data, self.name)
        pixels = load_image(source, channels={"grey": 1, "rgba": 4}.get(form, 3))
        return pick_channels(pixels, (2, 1, 0)) if form == "bgr" else pixels


class FailedSource:
    """An input that names nothing: one item, which says why."""

    kind: Kind = "picture"
    info: VideoInfo | None = None
    dropped = 0

    def __init__(self, name: str, error: DarknetError) -> None:
        self.name, self.error = name, error

    def items(self) -> Generator[Item, None, None]:
        """The one item."""
        yield Item.failed(self.name, self.error)


def _named(data: bytes, name: str) -> ImageSource:
    """An opened file, whose name messages say."""
    file = io.BytesIO(data)
    file.name = name
    return file
