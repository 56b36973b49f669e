"""The loop of ``darknet-py detect``: sources, detector and outputs joined, a record for each picture or frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from darknet_py.boxes.detections import Detections
from darknet_py.cli.drawing import Drawing
from darknet_py.cli.report import Report
from darknet_py.cli.stopping import check_stopped
from darknet_py.cli.tables import format_codes, format_frame, format_table, printable
from darknet_py.cli.totals import Totals
from darknet_py.codes.code import Code
from darknet_py.detector import Detector
from darknet_py.outputs import Outputs, Record, Stems
from darknet_py.sources.item import Form, Pixels, Source
from darknet_py.sources.looking import Detect, Search, Seen, look
from darknet_py.sources.opening import Asked, open_sources
from darknet_py.sources.pictures import FailedSource

__all__ = ["Loop", "Reader"]

#: A picture and what was found in it → the codes that could be read.
Reader = Callable[[Pixels, Detections], Sequence[Code]]


_FORMS: dict[int, Form] = {1: "grey", 4: "rgba"}


@dataclass
class _Watched:
    """The source that records come from: its file name, and what became of its frames."""

    source: Source
    stem: str
    begun: float = field(default_factory=time.monotonic)
    frames: int = 0


@dataclass(frozen=True)
class Loop:
    """All that a run needs besides its inputs.

    Attributes
    ----------
    detector : Detector
    wanted : mapping
        What is asked of it, as `Detector.detect` takes it.
    outputs : Outputs
    drawing : Drawing
    report : Report
    totals : Totals
    nothing : callable
        Gets the name of a picture in which nothing was found.
    tiled : callable or None
        Looks at a picture in tiles.
    reader : callable or None
        Reads codes, which are shown in place of what was found.
    """

    detector: Detector
    wanted: Mapping[str, Any]
    outputs: Outputs
    drawing: Drawing
    report: Report
    totals: Totals
    nothing: Callable[[str], None]
    tiled: Search | None = None
    reader: Reader | None = None

    def run(self, names: Sequence[str | FailedSource], asked: Asked) -> None:
        """Look at everything; what fails is a record, too."""
        if self.outputs.resumed:
            failed = f", {self.outputs.failures} of them in vain" if self.outputs.failures else ""
            self.report.note(f"{self.outputs.resumed} of the pictures and frames were done before{failed}")
        if len(names) > 1:
            self._warm_up()
        stems, known = Stems(), {id(one) for one in names if isinstance(one, FailedSource)}
        watched: dict[int, _Watched] = {}
        sources = _announced(open_sources(names, asked), stems, watched)
        current: _Watched | None = None
        looked_at = look(
            sources,
            self._detect,
            form=_FORMS.get(self.detector.graph.blob.c, "rgb"),
            threads=self.detector.network.threads,
            done=self._done,
            last=self._last,
            read_ahead="-" not in names,
            # What draws or cuts needs the pixels anyway.
            of_files=None if self.outputs.needs_pixels or self.drawing.draws or self.reader else self.tiled,
            begin=self._begin if self.detector.graph.remembers and self.tiled is None else None,
        )
        with self.report, self.drawing, closing(looked_at):
            for seen in looked_at:
                check_stopped()
                if current is None or current.source is not seen.source:
                    self._end(current)
                    current = watched.pop(id(seen.source))
                    self.drawing.begin(seen.source, current.stem, asked.choice.start or 0.0)
                self._take(seen, current, said=id(seen.source) in known)
            self._end(current)

    def _done(self, name: str, frame: int | None) -> bool:
        done = self.outputs.done(name, frame)
        if done and frame is not None:
            self.drawing.skipped(name)
        return done

    def _last(self, name: str) -> int:
        last = self.outputs.last_frame(name)
        if last:
            self.drawing.skipped(name)
        return last

    def _detect(self, pictures: Sequence[Pixels]) -> Sequence[Detections]:
        if self.tiled is not None:
            return [self.tiled(one) for one in pictures]
        if len(pictures) == 1:
            return [self.detector.detect(pictures[0], bgr=False, **self.wanted)]
        return self.detector.detect_batch(pictures, bgr=False, **self.wanted)

    def _begin(self) -> Detect:
        """What looks at the frames of one video, with what its network remembers of those before."""
        session = self.detector.network.session()
        return lambda pictures: [
            self.detector.detect(one, bgr=False, session=session, **self.wanted) for one in pictures
        ]

    def _warm_up(self) -> None:
        """Have the memory of a run touched, which made the first picture take up to 1.4 times as long as the others."""
        blob = self.detector.graph.blob
        self.detector.detect_blob(np.zeros(blob, np.float32), (blob.w, blob.h), **self.wanted)

    def _take(self, seen: Seen, current: _Watched, said: bool) -> None:
        """Write what came of a picture or frame to wherever it shall go."""
        record = self._read(_record(seen, current.stem), seen.pixels)
        self.drawing.write(record, lambda cause: self.report.failed(record.name, cause))
        self.outputs.write(record)  # before the terminal: one that is closed loses nothing of it
        self.totals.add(record)
        if record.detections is None:
            if not said:
                self.report.failed(record.name, record.error.message if record.error else "")
        elif record.codes is not None:
            current.frames += record.frame is not None
            self.report.table(format_codes(record.codes, record.name, record.frame))
        elif record.frame is not None:
            current.frames += 1
            self.report.table(format_frame(record.detections, record.name, record.frame, record.time or 0.0))
        else:
            self.report.table(format_table(record.detections, record.name, record.timings["detect"]))
        if record.detections is not None and not len(record.detections) and not record.codes:
            self.nothing(record.name)
        if record.frame is None:
            self.report.step()

    def _read(self, record: Record, pixels: Pixels | None) -> Record:
        """The record with the codes that could be read, if that is asked for."""
        if self.reader is None or record.detections is None or pixels is None:
            return record
        begun = time.perf_counter()
        codes = tuple(self.reader(pixels, record.detections))
        return replace(record, codes=codes, timings={**record.timings, "decode": time.perf_counter() - begun})

    def _end(self, current: _Watched | None) -> None:
        """A source has no more: of a video it is said what it took."""
        if current is None or current.source.kind == "picture" or not current.frames:
            return
        seconds = max(1e-9, time.monotonic() - current.begun)
        frames = "frame" if current.frames == 1 else "frames"
        dropped = f", {current.source.dropped} dropped" if current.source.kind == "live" else ""
        self.report.note(
            f"{printable(current.source.name)}: {current.frames} {frames} in {seconds:.1f} s "
            f"({current.frames / seconds:.1f} per second){dropped}"
        )
        self.report.step()


def _announced(sources: Iterable[Source], stems: Stems, watched: dict[int, _Watched]) -> Generator[Source, None, None]:
    for source in sources:
        watched[id(source)] = _Watched(source, stems.of(source.name, frames=source.kind != "picture"))
        yield source


def _record(seen: Seen, stem: str) -> Record:
    item = seen.item
    if seen.error is not None:
        return Record.failed(item.name, seen.index, seen.error, frame=item.frame, time=item.time, stem=stem)
    return Record(
        item.name,
        seen.index,
        seen.found,
        frame=item.frame,
        time=item.time,
        timings=seen.timings,
        stem=stem,
        pixels=seen.pixels,
    )
