"""The actor: one Detector, which is shown block after block."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from darknet_py.boxes.detections import Detections
from darknet_py.detector import Detector
from darknet_py.errors import DarknetError, OptionError
from darknet_py.network import MOST_TOGETHER
from darknet_py.outputs.record import Problem
from darknet_py.pictures.load import load_image
from darknet_py.ray.carried import CarriedFile
from darknet_py.ray.columns import with_found
from darknet_py.ray.fetching import picture_source
from darknet_py.sources.item import Pixels
from darknet_py.workers import Workers

__all__ = ["Job", "Worker"]

_log = logging.getLogger(__name__)

#: Columns that are looked at if nobody says, in this order: those of Ray's readers, and of its `from_items`.
_USUAL = ("bytes", "path", "address", "url", "uri", "image", "item")

#: Threads that fetch and decode. Files need one beside the network; addresses are waited for.
_READERS = 2
_FETCHERS = 8


@dataclass(frozen=True)
class Job:
    """All that an actor needs, as it travels to it.

    Attributes
    ----------
    cfg, weights : CarriedFile or what `Detector` takes
    names : tuple of str
    options : mapping
        Of `Detector`.
    wanted : mapping
        Of `Detector.detect`.
    tiled : mapping or None
        Of `Detector.detect_tiled` besides those; None without tiles.
    column : str or None
        Where addresses or bytes are.
    folder : str
        Where paths that are relative begin.
    """

    cfg: Any
    weights: Any
    names: tuple[str, ...]
    options: Mapping[str, Any]
    wanted: Mapping[str, Any]
    tiled: Mapping[str, Any] | None = None
    column: str | None = None
    folder: str = field(default_factory=os.getcwd)


class Worker:
    """A table of addresses or bytes in, the same with detections out; a callable class, as ``map_batches`` takes it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        cfg, weights = (one.here() if isinstance(one, CarriedFile) else one for one in (job.cfg, job.weights))
        self._detector = Detector(cfg, weights, job.names, **job.options)

    def __call__(self, table: Any) -> Any:
        """The rows of a pyarrow.Table with what was found; pictures' bytes are left out."""
        column = column_of(table.column_names, self._job.column)
        values = table.column(column)
        found = self.found(values.to_pylist())
        is_text = str(values.type) in ("string", "large_string", "string_view")
        return with_found(table if is_text else table.drop_columns([column]), found)

    def found(self, values: Sequence[Any]) -> list[Detections | Problem]:
        """What came of each address or bytes."""
        look = self._whole if self._job.tiled is None else self._in_tiles
        return list(look(values))

    def _whole(self, values: Sequence[Any]) -> Iterator[Detections | Problem]:
        fetched = any(isinstance(value, str) and "://" in value for value in values)
        with Workers(_FETCHERS if fetched else _READERS) as readers:
            rest = iter(values)
            ahead: list[Future[Pixels | Problem]] = []
            while True:
                ready, ahead = ahead, [readers.submit(self._read, value) for value in islice(rest, MOST_TOGETHER)]
                yield from self._detect([future.result() for future in ready])
                if not ahead:
                    return

    def _read(self, value: Any) -> Pixels | Problem:
        # A row that nobody thought of is not to end a job of a night: whatever it raises is its error.
        try:
            source = picture_source(value, self._job.folder)
            return load_image(source, channels=self._detector.graph.blob.c)
        except Exception as error:
            return _problem(error)

    def _detect(self, pictures: Sequence[Pixels | Problem]) -> Iterator[Detections | Problem]:
        pixels = [one for one in pictures if not isinstance(one, Problem)]
        try:
            found = iter(self._detector.detect_batch(pixels, bgr=False, **self._job.wanted) if pixels else ())
        except MemoryError as error:
            if len(pixels) == 1:
                yield from (one if isinstance(one, Problem) else _problem(error) for one in pictures)
            else:  # one of them may be too large, the others are not
                for one in pictures:
                    yield from self._detect([one])
            return
        yield from (one if isinstance(one, Problem) else next(found) for one in pictures)

    def _in_tiles(self, values: Sequence[Any]) -> Iterator[Detections | Problem]:
        for value in values:
            try:
                source = picture_source(value, self._job.folder)
                yield self._detector.detect_tiled(source, bgr=False, **(self._job.tiled or {}), **self._job.wanted)
            except Exception as error:
                yield _problem(error)


def column_of(columns: Sequence[str], asked: str | None) -> str:
    """The column that has addresses or bytes.

    Raises
    ------
    OptionError
        There is none of that name, or nothing says which one it is.
    """
    if asked is not None:
        if asked not in columns:
            raise OptionError(f"column={asked!r}: the dataset has no such column, but {', '.join(columns) or 'none'}")
        return asked
    usual = [name for name in _USUAL if name in columns]
    if usual:
        return usual[0]
    if len(columns) == 1:
        return columns[0]
    raise OptionError(
        f"columns {', '.join(columns) or '(none)'}: which of them has addresses or pictures' bytes? Give column=NAME"
    )


def _problem(error: Exception) -> Problem:
    if not isinstance(error, DarknetError | MemoryError | OSError):
        _log.error("%s", error, exc_info=error)
    if isinstance(error, DarknetError):
        return Problem.of(error)
    return Problem(type(error).__name__, f"{type(error).__name__}: {error}")
