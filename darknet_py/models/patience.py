"""The terms of a download: how long it waits, whom it tells, how an address says no."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Listener", "Patience", "Refused"]


class Refused(Exception):
    """An address that does not give the file, with the reason; another one may."""


@dataclass(frozen=True)
class Patience:
    """How long to put up with a server.

    Attributes
    ----------
    timeout : float
        Seconds without a byte, for connecting too.
    slowest : float
        Bytes per second, measured over `timeout`, below which an attempt is given up.
    attempts : int
        At one address, without progress in between.
    pause : float
        Seconds before the second attempt; doubled before each further one.
    """

    timeout: float = 30.0
    slowest: float = 1024.0
    attempts: int = 4
    pause: float = 1.0


class Listener:
    """What a download tells as it goes; this one keeps it to itself."""

    def waiting(self, name: str) -> None:
        """Another process is downloading the same file."""

    def alone(self, name: str) -> None:
        """That process does not end, or there are no locks: this download goes ahead by itself and is not kept."""

    def connecting(self, name: str, url: str) -> None:
        """An address is about to be asked."""

    def started(self, name: str, url: str, done: int, total: int | None) -> None:
        """Bytes are coming; `done` of them were here already."""

    def advanced(self, done: int) -> None:
        """So many bytes of the file are here."""

    def failed(self, name: str, url: str, reason: str) -> None:
        """An address was given up."""

    def finished(self, path: Path, digest: str) -> None:
        """The file is in its place."""
