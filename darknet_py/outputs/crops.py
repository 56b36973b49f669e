"""What was found, cut out of its picture: a file per box, in a folder per class."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.detections import Detections
from darknet_py.draw import save_image
from darknet_py.errors import ImageError
from darknet_py.outputs.folders import folder_name, open_folder
from darknet_py.outputs.record import Record
from darknet_py.outputs.run import Run

__all__ = ["Crops"]

_log = logging.getLogger(__name__)


class Crops:
    """``<folder>/<class>/<stem>.jpg`` and, for further boxes of the class, ``<stem>.2.jpg``, the most confident first.

    Boxes are cut at the border of the picture and rounded to whole pixels outwards; one that has no pixel is left out.
    Pictures of a run that is resumed are not cut again.
    """

    needs_pixels, kept = True, ""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._folders: set[str] = set()

    def __enter__(self) -> Crops:
        open_folder(self._folder)
        return self

    def begin(self, run: Run) -> None: ...

    def write(self, record: Record) -> None:
        if record.detections is None or record.pixels is None:
            return
        numbers: Counter[str] = Counter()
        for name, pixels in _cuts(record.pixels, record.detections.sorted()):
            folder = folder_name(name)
            if folder not in self._folders:
                open_folder(self._folder / folder)
                self._folders.add(folder)
            numbers[folder] += 1
            file = _file_name(record.file_stem, numbers[folder])
            try:
                save_image(self._folder / folder / file, pixels, bgr=False)
            except ImageError as error:  # more pixels in a row than a JPEG may have
                _log.warning("%s: %s", record.name, error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _cuts(pixels: NDArray[np.uint8], found: Detections) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    height, width = pixels.shape[:2]
    for name, corners in zip(found.class_names, found.xyxy, strict=True):
        if not np.isfinite(corners).all():
            continue
        near, far = np.floor(corners[:2]), np.ceil(corners[2:])
        left, top = (int(value) for value in np.clip(near, 0, (width, height)))
        right, bottom = (int(value) for value in np.clip(far, 0, (width, height)))
        if left < right and top < bottom:
            yield str(name), pixels[top:bottom, left:right]


def _file_name(stem: str, number: int) -> str:
    """No two of these are equal: a stem that ends like a number is always followed by one."""
    return f"{stem}.{number}.jpg" if number > 1 or re.search(r"\.\d+$", stem) else f"{stem}.jpg"
