"""Cameras and streams as sources: a thread keeps the newest frame, and what was lost comes back, if that is wished."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace

from darknet_py.errors import DarknetError, UnsupportedError, VideoError
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Frame, Video, Where, open_video
from darknet_py.sources.item import Item, Kind, VideoInfo

__all__ = ["LiveSource", "Mailbox"]

_log = logging.getLogger(__name__)

#: Frames that wait where none may be dropped; then the reader waits as well.
_ROOM = 16
#: Seconds before the second try to open a stream that was lost; doubled before each further one, up to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.5, 15.0
#: Seconds between looks at whether the other side is still there.
_LOOK = 0.5


@dataclass(frozen=True)
class _End:
    """Nothing more comes: for this reason, or because that was all."""

    error: DarknetError | None


class Mailbox:
    """Frames on their way from the thread that reads them to who looks at them.

    Parameters
    ----------
    latest : bool
        There is one place, and a frame that finds another one in it replaces it. Otherwise the reader waits for room.
    """

    def __init__(self, latest: bool) -> None:
        self.dropped = 0
        self._latest = latest
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._end: _End | None = None
        self._closed = False
        self._alive = -math.inf

    def alive(self, until: float | None = None) -> None:
        """A sign of life, wanted frame or not: `take` waits its timeout from now, or from a moment to come."""
        with self._changed:
            self._alive = time.monotonic() if until is None else until

    def put(self, frame: Frame) -> bool:
        """Leave a frame; False if nobody takes it any more."""
        with self._changed:
            if self._latest and self._frames:
                self._frames.clear()
                self.dropped += 1
            while len(self._frames) >= _ROOM and not self._closed:
                self._changed.wait(_LOOK)
            if not self._closed:
                self._frames.append(frame)
                self._changed.notify_all()
            return not self._closed

    def end(self, error: DarknetError | None) -> None:
        """Nothing more comes."""
        with self._changed:
            self._end = _End(error)
            self._changed.notify_all()

    def take(self, timeout: float) -> Frame | None:
        """The frame that waits longest; None where that was all.

        Raises
        ------
        DarknetError
            What ended it, after the last frame.
        TimeoutError
            For `timeout` seconds none came, nor another sign of life.
        """
        begun = time.monotonic()
        with self._changed:
            while not self._frames:
                if self._end is not None:
                    if self._end.error is not None:
                        raise self._end.error
                    return None
                left = max(begun, self._alive) + timeout - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._changed.wait(min(left, _LOOK))
            self._changed.notify_all()
            return self._frames.popleft()

    def sleep_until(self, moment: float) -> None:
        """Wait for a moment of ``time.monotonic``, or until nobody takes any more."""
        with self._changed:
            while not self._closed and (left := moment - time.monotonic()) > 0:
                self._changed.wait(left)

    def close(self) -> None:
        """Nobody takes any more."""
        with self._changed:
            self._closed = True
            self._frames.clear()
            self._changed.notify_all()


class LiveSource:
    """A camera or a stream; or a video that is looked at as if it were one, as fast as it would be shown.

    Times of a stream are seconds since its first frame, as frames come from the decoder: not every stream has a clock.
    Frames are numbered as they come, those that are dropped as well, and through all interruptions.

    Parameters
    ----------
    where : Where
    choice : Choice
    tell : callable
        Gets a line about what was lost and will be opened again.
    video : Video, optional
        It, where it is open already.
    """

    kind: Kind = "live"

    def __init__(
        self, where: Where, choice: Choice, tell: Callable[[str], None] = _log.warning, video: Video | None = None
    ) -> None:
        self.name = where.name
        self.info: VideoInfo | None = None
        self.dropped = 0
        self._where, self._choice, self._tell, self._video = where, choice, tell, video
        self._begun: float | None = None
        self._count = 0  # of frames that came
        self._seen: Frame | None = None

    def items(self) -> Generator[Item, None, None]:
        """Frames as they come; what goes wrong is the last item, unless it is to be opened again."""
        pause = _FIRST_PAUSE
        while True:
            before = self._count
            try:
                yield from self._connected()
                return
            except DarknetError as error:
                if not self._choice.reconnect or isinstance(error, UnsupportedError):
                    yield Item.failed(self.name, error, *self._next())
                    return
                if self._count > before:
                    pause = _FIRST_PAUSE
                self._tell(f"{error}; trying again in {pause:g} s")
            if self._begun is not None and self._choice.is_over(time.monotonic() - self._begun + pause):
                return
            time.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    def _next(self) -> tuple[int | None, float | None]:
        return (None, None) if self._seen is None else (self._count + 1, self._seen.time)

    def _connected(self) -> Generator[Item, None, None]:
        """Frames until the stream is lost, which raises, or enough of them were seen."""
        box = Mailbox(self._choice.latest is not False)
        reader = threading.Thread(target=self._read, args=(box,), name="darknet-py-live", daemon=True)
        try:
            reader.start()
        except (RuntimeError, MemoryError) as error:
            raise VideoError(f"{self.name}: the system gives no thread to read it ({error})") from error
        dropped = self.dropped
        try:
            while (frame := box.take(self._choice.timeout)) is not None:
                self.dropped = dropped + box.dropped
                if self._choice.is_over(frame.time):
                    return
                self._seen = frame
                yield Item(self.name, frame.load, frame.number, frame.time)
        except TimeoutError:
            raise VideoError(f"{self.name}: no frame for {self._choice.timeout:g} s{self._after()}") from None
        finally:
            self.dropped = dropped + box.dropped
            box.close()
            reader.join(_LOOK)  # one that hangs in a read is left behind: its mailbox is closed

    def _after(self) -> str:
        return f" after frame {self._seen.number} ({self._seen.time:.3f} s)" if self._seen else ""

    def _read(self, box: Mailbox) -> None:
        """What the thread does: all frames of a stream into a mailbox."""
        video, self._video = self._video, None
        try:
            with video or open_video(self._where) as video:
                # What a stream says of its clock is a guess, and not what its frames are numbered with here.
                self.info = replace(video.info, time_base=None) if video.info.endless else video.info
                self._fill(box, video)
            after = f" after frame {self._count}" if self._count else ""
            box.end(VideoError(f"{self.name}: the stream ended{after}") if video.info.endless else None)
        except DarknetError as error:
            box.end(error)
        except Exception as error:  # of a driver or a library, in a thread of which nobody would hear
            box.end(VideoError(f"{self.name}: {type(error).__name__}: {error}"))

    def _fill(self, box: Mailbox, video: Video) -> None:
        paced = not video.info.endless
        first: float | None = None
        if paced:  # what lies before the start is read without a sign, and a file does not stall
            box.alive(math.inf)
        with closing(video.frames(Choice(start=self._choice.start if paced else None))) as frames:
            for frame in frames:
                now = time.monotonic()
                if self._begun is None:
                    self._begun = now
                at = now - self._begun
                if paced:
                    first, at = frame.time if first is None else first, frame.time
                    box.alive(until=self._begun + at - first)
                    box.sleep_until(self._begun + at - first)
                box.alive()
                self._count = number = frame.number if paced else self._count + 1
                wanted = self._choice.is_over(at) or self._choice.wants(number, at)
                if wanted and not box.put(frame._replace(number=number, time=at)):
                    return
