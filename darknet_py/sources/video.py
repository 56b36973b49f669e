"""Files of video as sources: every frame, or those that are chosen, in order."""

from __future__ import annotations

import time
from collections.abc import Generator

from darknet_py.errors import DarknetError
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Video, Where, open_video
from darknet_py.sources.item import Item, Kind, VideoInfo

__all__ = ["VideoSource"]


class VideoSource:
    """A video that has an end: a file, or one at an address.

    Parameters
    ----------
    where : Where
    choice : Choice
    video : Video, optional
        It, where it is open already.
    """

    kind: Kind = "video"
    dropped = 0

    def __init__(self, where: Where, choice: Choice, video: Video | None = None) -> None:
        self.name = where.name
        self.info: VideoInfo | None = None if video is None else video.info
        self._where, self._choice, self._video = where, choice, video

    def items(self) -> Generator[Item, None, None]:
        """The frames that are chosen; what goes wrong is the last item."""
        item: Item | None = None
        try:
            with self._video or open_video(self._where) as video:
                self.info = video.info
                begun = time.perf_counter()
                for frame in video.frames(self._choice):
                    item = Item(self.name, frame.load, frame.number, frame.time, time.perf_counter() - begun)
                    yield item
                    begun = time.perf_counter()
        except DarknetError as error:
            after = (None, None) if item is None or item.frame is None else (item.frame + 1, item.time)
            yield Item.failed(self.name, error, *after)
