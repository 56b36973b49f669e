"""Pictures and frames of sources on their way through a detector, in stages that overlap, in their order.

Pictures: the next one is read while this one is looked at by all threads, so that each has a time that means something.
Files of video: one thread decodes, and each of the detector's threads looks at frames of its own, some at a time. Live
sources: the newest frame is looked at by all threads, for the least delay.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

from darknet_py.boxes.detections import Detections
from darknet_py.errors import DarknetError, ImageError
from darknet_py.sources.item import Form, Item, Pixels, Source
from darknet_py.sources.stages import ahead, in_order
from darknet_py.threads import alone
from darknet_py.workers import Workers

__all__ = ["Detect", "Search", "Seen", "look"]

#: Pictures, of a form → what is in each.
Detect = Callable[[Sequence[Pixels]], Sequence[Detections]]

#: A picture's file, or its pixels → what is in it.
Search = Callable[[Any], Detections]

#: Frames of a video that one thread computes together, and their pixels between them: reading weights once for several
#: saves time, and each frame that waits takes memory.
_TOGETHER, _PIXELS = 4, 9_000_000


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture or frame that was looked at, or could not be.

    Attributes
    ----------
    source : Source
    item : Item
    index : int
        Which of the run this is, from 1; those that were skipped count.
    pixels : ndarray, shape (H, W, 3) or (H, W, 1), uint8, or None
    found : Detections or None
    error : DarknetError or None
        Exactly one of the last two is None.
    timings : mapping of str to float
        Seconds: "read" and "detect".
    """

    source: Source
    item: Item
    index: int
    pixels: Pixels | None = None
    found: Detections | None = None
    error: DarknetError | None = None
    timings: Mapping[str, float] = field(default_factory=dict)


def look(
    sources: Iterable[Source],
    detect: Detect,
    *,
    form: Form = "rgb",
    threads: int = 1,
    done: Callable[[str, int | None], bool] | None = None,
    last: Callable[[str], int] | None = None,
    read_ahead: bool = True,
    of_files: Search | None = None,
    begin: Callable[[], Detect] | None = None,
) -> Generator[Seen, None, None]:
    """Everything in some sources, looked at.

    Parameters
    ----------
    sources : iterable of Source
        Asked for one after the other.
    detect : callable
        Several pictures at once, of any sizes; may be called in several threads.
    form : {"rgb", "bgr", "grey", "rgba"}
        Of the pixels.
    threads : int
        Threads that look at a file of video, each at frames of its own.
    done : callable, optional
        Whether a name, with its frame or None, is to be skipped. Not asked for cameras and streams.
    last : callable, optional
        The number of the last frame that a camera or stream of this name had before; its frames are numbered on.
    read_ahead : bool
        The next picture is read while one is looked at. Otherwise the next source is asked for when that is done: where
        sources come from somebody who may wait for an answer first.
    of_files : callable, optional
        Looks at pictures that are files by itself, in place of `detect`: they are not read before, and have no pixels.
    begin : callable, optional
        Gives for each video, camera or stream what looks at its frames in place of `detect`: in their order, one thread
        after the other, for networks that remember.
    """
    numbered = _Numbered(done, last)
    for kind, group in groupby(sources, key=lambda source: source.kind):
        if kind == "picture":
            with closing(_pictures(numbered.items(group), detect, form, int(read_ahead), of_files)) as seen:
                yield from seen
            continue
        for source in group:
            one = detect if begin is None else begin()
            workers = threads if begin is None else 0
            with closing(_frames(kind, source, numbered, one, form, workers)) as seen:
                yield from seen


class _Numbered:
    """Gives items their numbers over all sources, and leaves out those that are done."""

    def __init__(
        self, done: Callable[[str, int | None], bool] | None, last: Callable[[str], int] | None = None
    ) -> None:
        self._count, self._done, self._last = 0, done, last

    def items(self, sources: Iterable[Source]) -> Iterator[Seen]:
        for source in sources:
            with closing(source.items()) as items:
                yield from self.of(source, items)

    def of(self, source: Source, items: Iterable[Item]) -> Iterator[Seen]:
        before: int | None = None
        for item in items:
            self._count += 1
            if source.kind == "live" and (source.info is None or source.info.endless):
                if before is None:
                    before = self._last(item.name) if self._last is not None else 0
                    self._count += before
                number = None if item.frame is None else item.frame + before
                yield Seen(source, replace(item, frame=number), self._count)
            elif self._done is None or not self._done(item.name, item.frame):
                yield Seen(source, item, self._count)


def _pictures(
    items: Iterator[Seen], detect: Detect, form: Form, ahead: int, of_files: Search | None
) -> Generator[Seen, None, None]:
    def looked_at(coming: Seen | Future[Seen]) -> Seen:
        if isinstance(coming, Seen):
            return _detected_in_file(coming, of_files) if of_files is not None else coming
        return _detected([coming.result()], detect)[0]

    with Workers(1) as reader:
        coming: deque[Seen | Future[Seen]] = deque()
        for seen in items:
            by_file = of_files is not None and seen.item.file is not None
            coming.append(seen if by_file else reader.submit(partial(_loaded, form=form), seen))
            if len(coming) > ahead:
                yield looked_at(coming.popleft())
        while coming:
            yield looked_at(coming.popleft())


def _frames(
    kind: str, source: Source, numbered: _Numbered, detect: Detect, form: Form, threads: int
) -> Generator[Seen, None, None]:
    """With 0 threads, frames of files one after the other, too, each by all threads of a run."""
    if kind == "live":
        with closing(source.items()) as items:
            for seen in numbered.of(source, items):
                yield from _detected([_loaded(seen, form)], detect)
        return

    def work(batch: list[Seen]) -> list[Seen]:
        with alone() if threads else nullcontext():
            return _detected([_loaded(seen, form) for seen in batch], detect)

    with (
        closing(ahead(source.items(), _TOGETHER)) as items,
        closing(_batches(source, numbered.of(source, items))) as batches,
        closing(in_order(batches, work, workers=max(1, threads), most=threads + 1)) as looked_at,
    ):
        for batch in looked_at:
            yield from batch.result()


def _batches(source: Source, items: Iterable[Seen]) -> Generator[list[Seen], None, None]:
    batch: list[Seen] = []
    for seen in items:
        batch.append(seen)
        pixels = source.info.pixels if source.info else 0
        if len(batch) >= min(_TOGETHER, max(1, _PIXELS // max(1, pixels))):
            yield batch
            batch = []
    if batch:
        yield batch


def _loaded(seen: Seen, form: Form) -> Seen:
    begun = time.perf_counter()
    try:
        pixels = seen.item.load(form)
    except DarknetError as error:
        return replace(seen, error=error)
    except MemoryError:
        return replace(seen, error=_no_memory(seen))
    return replace(seen, pixels=pixels, timings={"read": seen.item.seconds + time.perf_counter() - begun})


def _detected(batch: list[Seen], detect: Detect) -> list[Seen]:
    """What is in those pictures that could be loaded."""
    whole = [seen for seen in batch if seen.pixels is not None]
    if not whole:
        return batch
    begun = time.perf_counter()
    try:
        found: dict[int, Any] = dict(zip(map(id, whole), detect([seen.pixels for seen in whole]), strict=True))  # type: ignore[misc]
    except DarknetError as error:
        found = {id(seen): error for seen in whole}
    except MemoryError:
        found = {id(seen): _no_memory(seen) for seen in whole}
    seconds = (time.perf_counter() - begun) / len(whole)
    return [_finished(seen, found[id(seen)], seconds) if id(seen) in found else seen for seen in batch]


def _detected_in_file(seen: Seen, search: Search) -> Seen:
    """What is in a picture that is read as it is looked at, so that its one time has both."""
    begun = time.perf_counter()
    try:
        found: Detections | DarknetError = search(seen.item.file)
    except DarknetError as error:
        found = error
    except MemoryError:
        found = _no_memory(seen)
    return _finished(seen, found, time.perf_counter() - begun)


def _finished(seen: Seen, found: Detections | DarknetError, seconds: float) -> Seen:
    if isinstance(found, DarknetError):
        return replace(seen, error=found)
    return replace(seen, found=found, timings={**seen.timings, "detect": seconds})


def _no_memory(seen: Seen) -> ImageError:
    return ImageError(f"{seen.item.name}: not enough memory for this picture")
