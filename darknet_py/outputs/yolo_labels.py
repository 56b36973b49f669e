"""Label files as YOLO's tools read them: a text file per picture or frame."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from darknet_py.files import write_whole
from darknet_py.outputs.folders import open_folder
from darknet_py.outputs.record import Record
from darknet_py.outputs.run import Run

__all__ = ["Labels"]


class Labels:
    """``<folder>/<stem>.txt`` per picture, ``<stem>_<frame>.txt`` per frame: a line per box with its likeliest class.

    A picture in which nothing was found has an empty file, as Darknet's ``-save_labels`` writes it; one that could not
    be read has none.

    Parameters
    ----------
    folder : path
    confidence : bool
        Add the confidence to each line, after the box.
    """

    needs_pixels, kept = False, ""

    def __init__(self, folder: str | os.PathLike[str], *, confidence: bool = False) -> None:
        self._folder = Path(folder)
        self._confidence = confidence

    def __enter__(self) -> Labels:
        open_folder(self._folder)
        return self

    def begin(self, run: Run) -> None: ...

    def write(self, record: Record) -> None:
        if record.detections is not None:
            text = record.detections.to_yolo_txt(confidence=self._confidence)
            write_whole(self._folder / f"{record.file_stem}.txt", text.encode())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
