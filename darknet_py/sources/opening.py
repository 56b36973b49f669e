"""From names, as a command line has them, to sources."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from darknet_py.errors import DarknetError, ImageError, OptionError, VideoError
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Video, Where, open_video
from darknet_py.sources.input_kinds import (
    camera_number,
    is_address,
    is_fetched,
    is_list,
    is_stream,
    is_video_file,
    named_as_picture,
    named_as_video,
    scheme_of,
    without_password,
)
from darknet_py.sources.item import Source
from darknet_py.sources.lists import files_in, files_of_pattern, lines_of, read_stdin
from darknet_py.sources.live import LiveSource
from darknet_py.sources.pictures import FailedSource, PictureSource
from darknet_py.sources.video import VideoSource

_log = logging.getLogger(__name__)

__all__ = ["Asked", "gather", "open_sources", "open_video_source"]


@dataclass(frozen=True)
class Asked:
    """How inputs are meant.

    Attributes
    ----------
    choice : Choice
    recursive : bool
        Directories with those in them.
    videos : bool
        Directories with their videos.
    leave_out : Path or None
        A directory inside of them that is not entered.
    offline : str
        What forbids connections ("--offline"); empty if nothing does.
    tell : callable
        Gets lines about streams that are lost and come back.
    """

    choice: Choice = field(default_factory=Choice)
    recursive: bool = False
    videos: bool = True
    leave_out: Path | None = None
    offline: str = ""
    tell: Callable[[str], None] = _log.warning


def gather(inputs: Sequence[str], asked: Asked) -> list[str | FailedSource]:
    """The names that inputs stand for, directories, patterns and lists resolved; ``-`` stays as it is.

    An input that names nothing is a source that says why.
    """
    found: list[str | FailedSource] = []
    for name in inputs:
        found += _gathered(name, asked, partial(_listed, asked=asked))
    return found


def _gathered(name: str, asked: Asked, listed: Callable[[str], list[str | FailedSource]]) -> list[str | FailedSource]:
    try:
        return list(_resolved(name, asked, listed))
    except DarknetError as error:
        return [FailedSource(without_password(name), error)]
    except (OSError, ValueError) as error:
        return [FailedSource(name, ImageError(f"{name}: {getattr(error, 'strerror', None) or error}"))]


def _resolved(
    name: str, asked: Asked, listed: Callable[[str], list[str | FailedSource]]
) -> Iterable[str | FailedSource]:
    if not name:
        raise ImageError("an empty name: expected a picture, a video, a directory, a pattern or an address")
    if name == "-" or is_address(name) or camera_number(name) is not None:
        return [name]
    if os.path.isdir(name):
        return files_in(name, asked.recursive, asked.leave_out, videos=asked.videos)
    # Not every shell expands patterns; a file whose name looks like one is still a file.
    if glob.has_magic(name) and not os.path.lexists(name):
        return files_of_pattern(name)
    return listed(name) if is_list(name) else [name]


def _listed(path: str, asked: Asked) -> list[str | FailedSource]:
    return [one for name in lines_of(path) for one in _gathered(name, asked, _refuse_list)]


def _refuse_list(name: str) -> list[str | FailedSource]:
    raise ImageError(f"{name}: a list in a list, expected paths of pictures and videos in it")


def open_sources(names: Iterable[str | FailedSource], asked: Asked) -> Generator[Source, None, None]:
    """A source for each name that `gather` gave, opened when it is asked for."""
    for name in names:
        if not isinstance(name, str):
            yield name
        elif name == "-":
            yield from _of_stdin(asked)
        else:
            yield _open(name, asked)


def _of_stdin(asked: Asked) -> Generator[Source, None, None]:
    try:
        given = read_stdin()
        if isinstance(given, bytes):
            yield PictureSource("-", given)
            return
        count = 0
        for name in given:
            count += 1
            resolved = [FailedSource(name, ImageError("-: standard input in standard input"))] if name == "-" else None
            yield from open_sources(resolved or _gathered(name, asked, _refuse_list), asked)
        if not count:
            raise ImageError("-: nothing came over standard input, expected paths, one a line, or a picture's bytes")
    except DarknetError as error:
        yield FailedSource("-", error)
    except OSError as error:
        yield FailedSource("-", ImageError(f"-: standard input cannot be read: {error.strerror or error}"))


def _open(name: str, asked: Asked) -> Source:
    shown = without_password(name)
    try:
        if is_address(name):
            return _at_address(name, shown, asked)
        camera = camera_number(name)
        if camera is not None:
            return _of_video(Where(name, camera=camera, timeout=asked.choice.timeout), asked, live=True)
        if is_video_file(name) or (named_as_video(name) and not os.path.exists(name)):
            return _of_video(Where(name, name), asked, live=bool(asked.choice.latest))
    except DarknetError as error:
        return FailedSource(shown, error)
    return PictureSource(name)


def _at_address(name: str, shown: str, asked: Asked) -> Source:
    if not (is_fetched(name) or is_stream(name)):
        raise ImageError(f"{shown}: {scheme_of(name)}:// is not read: expected http, https, rtsp, rtmp, srt, udp")
    if asked.offline:
        raise ImageError(f"{shown}: {asked.offline} forbids connections, so nothing at an address can be read")
    if is_fetched(name) and not named_as_video(name):
        from darknet_py.sources.addresses import fetch_picture, open_address  # urllib and ssl: 30 ms for who has files

        if named_as_picture(name):
            return PictureSource(shown, partial(fetch_picture, name))
        answer = open_address(name)
        with answer.response:
            is_picture = answer.is_picture
            if not is_picture and answer.is_text:
                raise ImageError(f"{shown}: gives {answer.content_type}, expected a picture or a video")
        if is_picture:
            return PictureSource(shown, partial(fetch_picture, name))
    where = Where(shown, name, remote=True, timeout=asked.choice.timeout)
    if is_stream(name) or asked.choice.latest:
        return _of_video(where, asked, live=True)
    return _finite_or_live(where, asked)


def _finite_or_live(where: Where, asked: Asked) -> Source:
    """A video or a stream, as only its beginning tells."""
    try:
        video = open_video(where)
    except VideoError:
        if not asked.choice.reconnect:
            raise
        return _of_video(where, asked, live=True)
    return _of_video(where, asked, live=video.info.endless, video=video)


def _of_video(where: Where, asked: Asked, *, live: bool, video: Video | None = None) -> Source:
    if live:
        return LiveSource(where, asked.choice, asked.tell, video)
    return VideoSource(where, asked.choice, video)


def open_video_source(source: str | os.PathLike[str] | int, asked: Asked) -> Source:
    """The video, camera or stream that a call in Python names.

    Raises
    ------
    OptionError
        It is none by its type.
    """
    if isinstance(source, bool) or not isinstance(source, str | os.PathLike | int):
        raise OptionError(f"source of type {type(source).__name__}: expected a path, an address or a camera's number")
    name = os.fsdecode(source) if not isinstance(source, int) else str(source)
    if isinstance(source, int):
        return _of_video(Where(name, camera=source, timeout=asked.choice.timeout), asked, live=True)
    if is_address(name) or camera_number(name) is not None:
        return _open(name, asked)
    return _of_video(Where(name, name), asked, live=bool(asked.choice.latest))
