"""What is said of one picture or frame, and what takes it: the seam between the sources and the files.

Whoever runs a detector over sources makes one `Record` for each picture or frame, whether it went well or not, and
gives it to `Outputs`, which hands it to every writer. Nothing else passes here: a source knows no files, a writer no
sources.

::

    stems = Stems()
    with Outputs(writers) as outputs:                   # every target is opened, or found unwritable, before any work
        outputs.begin(Run(detector.names, ...))         # once the model is loaded
        for name in sources:                            # index = 0 before
            stem = stems.of(name, frames=is_video)      # once a source, also where all of it is skipped
            for frame, time in ...:                     # one frame=None, time=None for a picture
                index += 1
                if outputs.done(name, frame):           # by the run that is resumed
                    continue
                try:
                    pixels, found, timings = ...        # {"read": seconds, "detect": seconds}
                except DarknetError as error:
                    record = Record.failed(name, index, error, frame=frame, time=time, stem=stem)
                else:
                    record = Record(
                        name, index, found, frame=frame, time=time, stem=stem, timings=timings, pixels=pixels
                    )
                outputs.write(record)                   # in the order of the sources

Leaving the block finishes the files, or, if it raises (`Stopped`, `OutputError`), leaves them valid with what was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.detections import Detections
from darknet_py.codes.code import Code
from darknet_py.outputs.run import Run

__all__ = ["Journal", "Outputs", "Problem", "Record", "Writer"]


class Problem(NamedTuple):
    """Why a picture or frame has no detections.

    Attributes
    ----------
    kind : str
        The name of the exception's class, such as "ImageError".
    message : str
    """

    kind: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> Problem:
        """What an exception says."""
        return cls(type(error).__name__, str(error))


@dataclass(frozen=True, eq=False)
class Record:
    """One picture or frame, and what was found in it or why nothing could be.

    Attributes
    ----------
    name : str
        The picture, video or stream as its user called it (a path, an address without its password, a camera's number).
    index : int
        Which of the run this is, from 1, over all its sources; Darknet's ``frame_id``. What fails or is skipped counts.
    detections : Detections or None
        In pixels of the picture; None if it could not be done.
    error : Problem or None
        Why there are no detections; exactly one of the two is None.
    frame : int or None
        The frame's number in its video or stream, from 1; None for a picture.
    time : float or None
        Seconds from the start of the video or stream at which the frame is shown.
    size : (int, int) or None
        Width and height in pixels, as detections have them; None where they never became known.
    timings : mapping of str to float
        Seconds that the stages took, by name: "read" (and decode), "detect" (resize to boxes), ...
    stem : str
        File name without its ending, of this source alone in this run, for outputs of a file per record (see `Stems`).
    pixels : ndarray, shape (H, W, 3) or (H, W), uint8, RGB, or None
        For writers that draw or cut (`Outputs.needs_pixels`); None in a record of the run that is resumed.
    codes : tuple of Code or None
        What could be read where codes were looked for; None in every other run.
    """

    name: str
    index: int
    detections: Detections | None = None
    error: Problem | None = None
    frame: int | None = None
    time: float | None = None
    size: tuple[int, int] | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    stem: str = ""
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False)
    codes: tuple[Code, ...] | None = None

    def __post_init__(self) -> None:
        if (self.detections is None) == (self.error is None):
            raise ValueError(f"{self.name}: a record has either detections or an error")
        if self.size is None and self.detections is not None:
            object.__setattr__(self, "size", (self.detections.image_width, self.detections.image_height))

    @classmethod
    def failed(cls, name: str, index: int, error: BaseException, **more: Any) -> Record:
        """The record of a picture or frame that could not be done."""
        return cls(name, index, error=Problem.of(error), **more)

    @property
    def file_stem(self) -> str:
        """`stem`, with the number of the frame: the name of what is written for this record alone."""
        return self.stem if self.frame is None else f"{self.stem}_{self.frame}"


class Writer(Protocol):
    """One kind of output; a context manager.

    Entering opens the target, or raises OptionError if it cannot be written, before any work is done and with nothing
    changed that was there. Leaving finishes it; leaving with an exception keeps a valid file of the records so far, or
    what was there before if there are none.
    """

    @property
    def needs_pixels(self) -> bool:
        """Whether it reads `Record.pixels`."""

    @property
    def kept(self) -> str:
        """The file that holds the records so far though the block raised; empty if there is none, and before."""

    def __enter__(self) -> Any: ...

    def begin(self, run: Run) -> None:
        """Take note of what all records have in common, before the first one."""

    def write(self, record: Record) -> None:
        """Add one record; raises OutputError where the disk is full or fails."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Journal(Writer, Protocol):
    """The output that a later run resumes from."""

    def earlier(self) -> Iterator[Record]:
        """The records of the run that is resumed, in order; none if there is no such. After `begin`."""

    def done(self, name: str, frame: int | None) -> bool:
        """Whether one of them, not asked for before, is of this name and frame."""

    def last_frame(self, name: str) -> int:
        """The highest number of a frame of this name among them; 0 if there is none."""


class Outputs(AbstractContextManager["Outputs"]):
    """All outputs of a run as one; a context manager.

    Parameters
    ----------
    writers : sequence of Writer
        Each gets every record, in this order, also those of the run that is resumed, as they were, without pixels.
    journal : Journal, optional
        Gets each record last: what it holds is everywhere.

    Attributes
    ----------
    count, failures : int
        Records that have detections, and that have an error; those of the run that is resumed included.
    resumed : int
        Records of the run that is resumed.
    """

    def __init__(self, writers: Sequence[Writer], journal: Journal | None = None) -> None:
        self._others = tuple(writers)
        self._journal = journal
        self._writers: tuple[Writer, ...] = self._others if journal is None else (*self._others, journal)
        self._open = ExitStack()
        self.count = self.failures = self.resumed = 0

    @property
    def needs_pixels(self) -> bool:
        """Whether a writer reads `Record.pixels`; else they need not be kept."""
        return any(writer.needs_pixels for writer in self._writers)

    @property
    def kept(self) -> list[str]:
        """The files that hold the records so far though the block raised."""
        return [writer.kept for writer in self._writers if writer.kept]

    def __enter__(self) -> Outputs:
        with ExitStack() as opened:
            for writer in self._writers:
                opened.enter_context(writer)
            self._open = opened.pop_all()
        return self

    def begin(self, run: Run) -> None:
        """Say what all records have in common, before the first one; takes over what a run that is resumed did.

        Raises
        ------
        OptionError
            That run was another: of other settings, or of another model.
        """
        for writer in self._writers:
            writer.begin(run)
        if self._journal is not None:
            for record in self._journal.earlier():
                self._hand(record, self._others)
                self.resumed += 1

    def done(self, name: str, frame: int | None = None) -> bool:
        """Whether the run that is resumed has this one; to be asked once for each, in order."""
        return self._journal is not None and self._journal.done(name, frame)

    def last_frame(self, name: str) -> int:
        """The highest number of a frame of this name in the run that is resumed; 0 if it has none."""
        return 0 if self._journal is None else self._journal.last_frame(name)

    def write(self, record: Record) -> None:
        """Hand a record to every writer."""
        self._hand(record, self._writers)

    def _hand(self, record: Record, writers: Sequence[Writer]) -> None:
        for writer in writers:
            writer.write(record)
        if record.error is None:
            self.count += 1
        else:
            self.failures += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
