"""File names for outputs that write a file per picture or frame."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

__all__ = ["Stems"]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]')

#: What a frame's file is called: the stem of its video and a number.
_NUMBERED = re.compile(r"(.+)_\d+", re.DOTALL)

#: Bytes of a stem: file systems take names of 255, and the number of a frame and an ending are added.
_LONGEST = 200


class Stems:
    """Gives each source of a run a file name of its own, without ending: that of the source where it can be.

    The same sources in the same order get the same names, whatever is on the disk, so that a run that is resumed writes
    the files that one without a stop would have written. Names that differ in case alone count as equal, as they do on
    many file systems.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._videos: set[str] = set()
        self._numbered: set[str] = set()

    def of(self, source: str, *, frames: bool = False) -> str:
        """The stem of a source; to be asked for once for each, in order, whether it is skipped or not.

        Parameters
        ----------
        source : str
            A path, an address or a camera's number; "-" is standard input.
        frames : bool
            It has frames, whose files are called ``<stem>_<number>``: no other source's file shall be.
        """
        plain = _plain_stem(source)
        count, stem = self._taken.get(plain.casefold(), 0), plain
        while True:
            count += 1
            stem = plain if count == 1 else f"{plain}-{count}"
            if self._is_free(stem.casefold(), frames):
                break
        self._taken[plain.casefold()] = count
        self._take(stem.casefold(), frames)
        return stem

    def _is_free(self, folded: str, frames: bool) -> bool:
        numbered = _NUMBERED.fullmatch(folded)
        return not (
            folded in self._taken
            or (frames and folded in self._numbered)
            or (not frames and numbered is not None and numbered[1] in self._videos)
        )

    def _take(self, folded: str, frames: bool) -> None:
        self._taken.setdefault(folded, 1)
        numbered = _NUMBERED.fullmatch(folded)
        if frames:
            self._videos.add(folded)
        elif numbered is not None:
            self._numbered.add(numbered[1])


def _plain_stem(source: str) -> str:
    if source == "-":
        return "stdin"
    if _ADDRESS.match(source):
        try:
            parts = urlsplit(source)
            name = PurePath(unquote(parts.path)).stem or parts.hostname or "stream"
        except ValueError:  # such as http://[::1, which gets its error where it is opened
            name = "stream"
        return _shortened(_NOT_IN_NAMES.sub("_", name))
    return _shortened(PurePath(source).stem or "picture")


def _shortened(stem: str) -> str:
    while len(os.fsencode(stem)) > _LONGEST:
        stem = stem[:-1]
    return stem
