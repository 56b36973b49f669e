"""A JSON object per record and line, from which a later run goes on where this one ended."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from types import TracebackType
from typing import Any

from darknet_py.arguments import short
from darknet_py.errors import DarknetError, OptionError
from darknet_py.outputs.growing import GrowingFile
from darknet_py.outputs.json_text import strict, text_of
from darknet_py.outputs.record import Record
from darknet_py.outputs.record_json import SCHEMA, record_from_json, record_to_json
from darknet_py.outputs.run import Run, run_difference

__all__ = ["JsonLines"]

#: Bytes of a line: what is longer is no record.
_LONGEST = 1 << 28


class JsonLines:
    """Writes each record as it comes, as a line of JSON (see ``record.schema.json``); a `Journal`.

    Parameters
    ----------
    path : path or "-"
    resume : bool
        Keep the records that the file has, and go on behind them; a line that was broken off is taken away. Without a
        file it begins one.

    Raises
    ------
    OptionError
        The file cannot be written, or, from `begin`, holds something else than records of this model and these
        settings: nothing of it is changed.
    """

    needs_pixels = False

    def __init__(self, path: str | os.PathLike[str], *, resume: bool = False) -> None:
        self._file = GrowingFile(path)
        self._resume = resume
        self._common: dict[str, Any] = {}
        self._done: Counter[bytes] = Counter()
        self._last: dict[str, int] = {}
        self._whole = 0

    @property
    def kept(self) -> str:
        return self._file.kept

    def __enter__(self) -> JsonLines:
        if self._resume and os.path.exists(self._file.path) and not os.path.isfile(self._file.path):
            raise OptionError(f"{self._file.path}: not a file, expected one that a run can be resumed from")
        self._file.__enter__()
        return self

    def begin(self, run: Run) -> None:
        self._common = strict({"model": run.model, "settings": run.settings})
        if self._resume and os.path.exists(self._file.path):
            for plain in self._lines():
                name, frame = text_of(plain, "name"), plain["frame"]
                self._done[_key(name, frame)] += 1
                if frame is not None:
                    self._last[name] = max(frame, self._last.get(name, 0))
            self._file.go_on_after(self._whole)

    def earlier(self) -> Iterator[Record]:
        if self._resume and self._whole:
            yield from map(record_from_json, self._lines())

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The records of whole lines, each checked; `_whole` is where they end."""
        self._whole = 0
        with open(self._file.path, "rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
                if not line.endswith(b"\n") and len(line) < _LONGEST:
                    return
                place = f"{self._file.path}:{number}"
                yield self._checked(line, place)
                self._whole += len(line)

    def _checked(self, line: bytes, place: str) -> dict[str, Any]:
        try:
            plain: dict[str, Any] = json.loads(line)
            if plain["schema"] != SCHEMA:
                raise ValueError(f"schema {plain['schema']}")
            record_from_json(plain)
            difference = run_difference(plain, self._common)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError, OverflowError, DarknetError) as error:
            raise OptionError(
                f"{place}: not a record of schema {SCHEMA} as darknet-py writes them ({short(str(error))}): resume "
                "from a file of such, or write another"
            ) from error
        if difference:
            raise OptionError(f"{place}: made with {difference}: resume with the same, or write another file")
        return plain

    def done(self, name: str, frame: int | None) -> bool:
        key = _key(name, frame)
        if key not in self._done:
            return False
        self._done[key] -= 1
        if not self._done[key]:
            del self._done[key]
        return True

    def last_frame(self, name: str) -> int:
        return self._last.get(name, 0)

    def write(self, record: Record) -> None:
        self._file.write(json.dumps(record_to_json(record, self._common), allow_nan=False) + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)


def _key(name: str, frame: int | None) -> bytes:
    # Of a million records the digests take a third of the memory that names would.
    return blake2b(f"{frame}/{name}".encode("utf-8", "surrogatepass"), digest_size=12).digest()
