"""Where drawn pictures and videos go: a name of its own for each, and none that is read."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from darknet_py.draw import IMAGE_SUFFIXES, save_image
from darknet_py.errors import DarknetError, OutputError, VideoError
from darknet_py.files import check_writable
from darknet_py.outputs import Record
from darknet_py.outputs.videos import AnnotatedVideos
from darknet_py.sources.input_kinds import is_address, is_video_file
from darknet_py.sources.item import Source

__all__ = ["Drawing"]

_VIDEO = ".mp4"


class Drawing:
    """What is drawn, in a folder; a context manager.

    Parameters
    ----------
    out : Path or None
        The folder; without, nothing is drawn.
    read : iterable of str
        The inputs. See to it that what is there already under the names of their pictures can be replaced.
    """

    def __init__(self, out: Path | None, read: Iterable[str]) -> None:
        self._out = out
        self._read = list(read) if out is not None else []
        self._taken = {_folded(Path(name)) for name in self._read if not is_address(name)}
        self._counts: dict[str, int] = {}  # of equal names, which would be asked for over and over
        self._known: defaultdict[str, deque[Path]] = defaultdict(deque)
        self._source: Source | None = None
        self._failed: Callable[[str], None] = _unheard
        self._stem, self._start = "", 0.0
        self._resumed: set[str] = set()
        self._videos = AnnotatedVideos()
        if out is not None:
            self._choose()

    @property
    def draws(self) -> bool:
        """Whether anything is drawn, so that pixels are needed."""
        return self._out is not None

    def _choose(self) -> None:
        for name in self._read:
            if not is_address(name) and os.path.isfile(name) and not is_video_file(name):
                target = self._target(Path(name))
                if os.path.lexists(target):
                    check_writable(target)
                self._known[name].append(target)

    def _target(self, path: Path, suffix: str | None = None) -> Path:
        assert self._out is not None
        if suffix is None:
            suffix = path.suffix if path.suffix.lower() in IMAGE_SUFFIXES else ".png"
        target = self._out / f"{path.stem}{suffix}"
        name, count = target.name.casefold(), self._counts.get(target.name.casefold(), 1)
        while count > 1 or _folded(target) in self._taken:
            count += 1
            target = self._out / f"{path.stem}-{count}{suffix}"
            if _folded(target) not in self._taken:
                break
        self._counts[name] = count
        self._taken.add(_folded(target))
        return target

    def begin(self, source: Source, stem: str, start: float) -> None:
        """What comes now is of this source; `stem` names it, and `start` is the time that its video begins with."""
        self._attempt(self._videos.end)
        self._source, self._stem, self._start = source, stem, start

    def write(self, record: Record, failed: Callable[[str], None]) -> None:
        """Draw what was found in a picture or frame; `failed` gets what is wrong with one picture alone.

        Raises
        ------
        OutputError
            The disk is full, or fails.
        """
        if self._out is None or record.detections is None or record.pixels is None:
            return
        if record.frame is not None:
            self._failed = failed
            self._attempt(partial(self._write_frame, record))
            return
        from darknet_py.draw import annotate  # fonts, which a run that draws nothing does not need

        known = self._known[record.name]
        target = known.popleft() if known else self._target(Path(record.stem))
        try:
            pixels = np.ascontiguousarray(record.pixels[..., :3])  # a fourth channel is not shown
            save_image(target, annotate(pixels, record.detections, bgr=False), bgr=False)
        except OutputError:  # it would be the same for all that come
            raise
        except DarknetError as error:
            failed(str(error))

    def _write_frame(self, record: Record) -> None:
        if self._source is not None:
            # Of a run that goes on where another one ended, the frames before are in that one's video.
            name = f"{self._stem}-from-{record.frame}" if record.name in self._resumed else self._stem
            source, self._source = self._source, None
            path = self._target(Path(f"{name}{_VIDEO}"), _VIDEO)
            check_writable(path)
            self._videos.begin(path, source.info, self._start)
        self._videos.write(record)

    def _attempt(self, step: Callable[[], None]) -> None:
        """Do something to a video; one that cannot be encoded is said once, and drawn no further."""
        try:
            step()
        except OutputError:
            raise
        except DarknetError as error:
            self._failed(str(error))
            with suppress(VideoError):  # what was encoded before is kept, if it can be
                self._videos.end()

    def skipped(self, name: str) -> None:
        """A frame of the source of this name was done before."""
        self._resumed.add(name)

    def __enter__(self) -> Drawing:
        self._videos.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attempt(partial(self._videos.__exit__, kind, error, trace))


def _unheard(_: str) -> None:
    """No frame came yet, of which something could fail."""


def _folded(path: Path) -> str:
    """The path as one string, equal for names that one file may have on a file system that ignores case."""
    return os.path.realpath(path).casefold()
