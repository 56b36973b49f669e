"""A file of which not all is here yet, and how a later download knows whether it may go on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from darknet_py.errors import DownloadError

__all__ = ["Origin", "Part"]


@dataclass(frozen=True)
class Origin:
    """Where a part file comes from; `validator` is what ``If-Range`` takes, empty if the server gave nothing."""

    url: str
    validator: str


@dataclass(frozen=True)
class Part:
    """A file of which not all is here yet, and a note beside it on where its bytes are from.

    `kept` says whether it stays when the download ends early, for a later one to continue.
    """

    path: Path
    kept: bool = True

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        """Bytes so far."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def origin(self) -> Origin | None:
        """As `begin` noted it; None if that cannot be read."""
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
            return Origin(str(noted["url"]), str(noted["validator"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, origin: Origin) -> None:
        """Drop what there is: the next bytes are the first of the file at `origin`."""
        with self.writing():
            self.path.write_bytes(b"")
            self._note.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def append(self, file: FileIO, data: bytes) -> None:
        """Write all of `data`; unbuffered, so that a full disk is noticed here and what was written counts."""
        with self.writing():
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What goes wrong with the disk is nothing that another address could mend."""
        try:
            yield
        except OSError as error:
            raise DownloadError(
                f"{self.path}: cannot be written ({error.strerror or error}){self.remains()}"
            ) from error

    def remains(self) -> str:
        """What a later download can continue, for the end of a message; empty if there is nothing."""
        size = self.size() if self.kept else 0
        return f"; {size:,} bytes are kept and will be continued" if size else ""

    def forget_origin(self) -> None:
        """Remove the note."""
        with suppress(OSError):
            self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the file and the note."""
        self.forget_origin()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
