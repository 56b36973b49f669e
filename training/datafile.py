"""Darknet's data file, its lists of images, and the label file of each image.

::

    pets.data:   classes = 2          train.txt:   images/one.jpg        labels/one.txt:   0 0.5 0.5 0.25 0.1
                 train = train.txt                 images/two.jpg                          1 0.2 0.3 0.1 0.1
                 valid = valid.txt
                 names = pets.names   A label is: class cx cy w h, relative to the image's width and height.
                 backup = backup
"""

from __future__ import annotations

import io
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from darknet_py.errors import DarknetError
from darknet_py.names import load_names
from training.sample import Sample

__all__ = ["DataError", "DataFile", "ImageList", "label_path", "read_data", "write_labels"]

log = logging.getLogger(__name__)

#: How far a label may leave the image and still count as rounded, as a fraction of the side.
ROUNDING = 1e-3

#: By how much a JPEG decoder can shrink on the way, largest first.
_REDUCTIONS = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_EXIF_ORIENTATION = 0x0112


class DataError(DarknetError, ValueError):
    """A data file, image list, label file or training image cannot be used; names file and line."""


@dataclass(frozen=True)
class DataFile:
    """What a Darknet data file says, its paths made absolute or relative to the working directory.

    Attributes
    ----------
    classes : int
    train, valid : Path or None
        Image lists; None where the file does not name one.
    names : tuple of str
        One per class; "class 0", "class 1", ... where the file names no list.
    backup : Path
        Folder for weights; the data file's own where it names none. Need not exist.
    """

    classes: int
    train: Path | None
    valid: Path | None
    names: tuple[str, ...]
    backup: Path


def read_data(path: str | os.PathLike[str]) -> DataFile:
    """Read a data file; paths in it are relative to its folder. Unknown keys are ignored, as in Darknet.

    Raises
    ------
    DataError
        The file cannot be read, a line is not ``key = value``, `classes` is missing or no positive integer, or the
        number of names is not `classes`.
    CfgError
        The list of names cannot be read.
    """
    path = Path(path)
    values: dict[str, tuple[str, int]] = {}
    for number, line in _lines(path):
        if line.startswith(("#", ";")):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise DataError(f"{path}:{number}: {line!r}, expected key = value such as 'train = train.txt'")
        values.setdefault(key.strip(), (value.strip(), number))

    def listed(key: str) -> Path | None:
        value, _ = values.get(key, ("", 0))
        return path.parent / value if value else None

    text, number = values.get("classes", ("", 0))
    if not text:
        raise DataError(f"{path}: no classes, expected a line such as 'classes = 4'")
    if not text.isdecimal() or int(text) < 1:
        raise DataError(f"{path}:{number}: classes = {text!r}, expected a positive integer")
    classes = int(text)
    names_file = listed("names")
    names = load_names(names_file) if names_file else tuple(f"class {i}" for i in range(classes))
    if len(names) != classes:
        raise DataError(
            f"{path}:{number}: classes = {classes}, but {names_file} has {len(names)} names: make them agree"
        )
    return DataFile(classes, listed("train"), listed("valid"), names, listed("backup") or path.parent)


class ImageList:
    """The images of a list file with their labels, read when asked for.

    Parameters
    ----------
    path : path
        One image per line, relative to the list's folder or absolute; blank lines are skipped.
    classes : int, optional
        Labels of this class or above are errors; without it only negative classes are.

    Raises
    ------
    DataError
        The list cannot be read or is empty.
    """

    def __init__(self, path: str | os.PathLike[str], classes: int | None = None) -> None:
        self._list = Path(path)
        self._classes = classes
        entries = list(_lines(self._list))
        if not entries:
            raise DataError(f"{path}: the list is empty, expected paths of images, one per line")
        self._numbers = tuple(number for number, _ in entries)
        self.paths = tuple(self._list.parent / line for _, line in entries)
        self._unlabelled: set[int] = set()

    def __len__(self) -> int:
        return len(self.paths)

    def labels(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The labels of one image, without reading the image.

        A missing label file is an image without objects; it is logged the first time.

        Returns
        -------
        class_id : int64 array (n,)
        boxes : float32 array (n, 4)
            cx, cy, w, h relative to the image, 0..1.

        Raises
        ------
        DataError
            A line is not ``class cx cy w h``, its class is out of range, or its box has no area inside the image.
        """
        path = label_path(self.paths[index])
        if not path.exists():
            if index not in self._unlabelled:
                self._unlabelled.add(index)
                log.warning("%s: no such label file; %s counts as an image without objects", path, self.paths[index])
            return np.empty(0, np.int64), np.empty((0, 4), np.float32)
        rows = [self._label(line, f"{path}:{number}") for number, line in _lines(path)]
        class_id = np.array([row[0] for row in rows], np.int64)
        return class_id, np.array([row[1] for row in rows], np.float32).reshape(-1, 4)

    def sample(self, index: int) -> Sample:
        """One image in full size with its boxes.

        Raises
        ------
        DataError
            The image is missing, damaged or cut short, or its labels cannot be read.
        """
        return self._sample(index, None)

    def sample_at_least(self, index: int, size: tuple[float, float]) -> Sample:
        """The same, but a JPEG may come 2, 4 or 8 times smaller: as small as (width, height) `size` permits.

        The decoder shrinks in the frequency domain: faster than decoding all and shrinking, and without aliasing.
        """
        return self._sample(index, size)

    def _sample(self, index: int, size: tuple[float, float] | None) -> Sample:
        image = _decode(self._read(index), str(self.paths[index]), size)
        class_id, boxes = self.labels(index)
        sides = np.array([image.shape[1], image.shape[0]], np.float32)
        half = boxes[:, 2:] / 2
        corners = np.stack((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)
        return Sample(image, class_id, (corners.clip(0, 1) * sides).reshape(-1, 4).astype(np.float32))

    def _read(self, index: int) -> bytes:
        path = self.paths[index]
        try:
            return path.read_bytes()
        except OSError as error:
            where = f"{self._list}:{self._numbers[index]}"
            raise DataError(f"{where}: {path} cannot be read ({error.strerror or error}), expected an image") from error

    def _label(self, line: str, where: str) -> tuple[int, list[float]]:
        fields = line.split()
        expected = "expected 'class cx cy w h' with cx, cy, w, h relative to the image (0..1)"
        try:
            class_id, box = int(fields[0]), [float(field) for field in fields[1:]]
        except ValueError:
            raise DataError(f"{where}: {line!r}, {expected}") from None
        if len(box) != 4 or not all(math.isfinite(value) for value in box):
            raise DataError(f"{where}: {line!r}, {expected}")
        if class_id < 0 or (self._classes is not None and class_id >= self._classes):
            highest = "" if self._classes is None else f"..{self._classes - 1}"
            raise DataError(f"{where}: class {class_id}, expected 0{highest or ' or more'}")
        for value, name in zip(box, ("cx", "cy", "w", "h"), strict=True):
            lowest = -ROUNDING if name in ("cx", "cy") else 0.0
            if not lowest <= value <= 1 + ROUNDING or (value == 0 and name in ("w", "h")):
                raise DataError(f"{where}: {name} = {value:g}, {expected}; are these pixels?")
        return class_id, box


def label_path(image: str | os.PathLike[str]) -> Path:
    """Where the labels of an image are: its last folder called ``images`` becomes ``labels``, its ending ``.txt``.

    Without such a folder, or without the file there but with one beside the image, they are beside the image.
    """
    beside = Path(image).with_suffix(".txt")
    parts = list(beside.parts)
    folders = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if not folders:
        return beside
    parts[folders[-1]] = "labels"
    apart = Path(*parts)
    return beside if beside.exists() and not apart.exists() else apart


def write_labels(image: str | os.PathLike[str], sample: Sample) -> Path:
    """Write the label file of an image, where `label_path` has it; folders are made as needed.

    Parameters
    ----------
    image : path
        Of the image; it is not read, the sides are those of ``sample.image``.
    sample : Sample

    Returns
    -------
    Path
        The label file.
    """
    height, width = sample.image.shape[:2]
    relative = sample.xyxy.astype(np.float64) / (width, height, width, height)
    centres, sides = (relative[:, :2] + relative[:, 2:]) / 2, relative[:, 2:] - relative[:, :2]
    rows = zip(sample.class_id.tolist(), np.hstack((centres, sides)).tolist(), strict=True)
    path = label_path(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{c} {' '.join(f'{value:.6f}' for value in box)}\n" for c, box in rows), encoding="utf-8")
    return path


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not blank, stripped, with their numbers from 1."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}), expected a text file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _decode(data: bytes, where: str, size: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Pixels (H, W, 3), BGR, turned as EXIF says; at least `size` (width, height) where one is given."""
    jpeg = data.startswith(_JPEG_START)
    # OpenCV decodes what there is of a JPEG and paints the rest grey; padding behind the end is common and harmless.
    if jpeg and not data[-64:].rstrip(b"\0\r\n ").endswith(_JPEG_END):
        raise DataError(
            f"{where}: the JPEG ends early ({len(data)} bytes): copy the file again or take it off the list"
        )
    flags = _REDUCTIONS.get(_reduction(data, size), cv2.IMREAD_COLOR) if jpeg and size else cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise DataError(
            f"{where}: not an image that OpenCV can decode ({len(data)} bytes that begin with {data[:8]!r}), "
            "expected JPEG, PNG, BMP, TIFF or WebP"
        )
    return np.asarray(image, np.uint8)


def _reduction(jpeg: bytes, size: tuple[float, float]) -> int:
    """The most a JPEG may shrink and still have `size`; 1 if its header is unreadable (the decoder will complain)."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as header:
            width, height = header.size
            sideways = header.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, TypeError):
        return 1
    if sideways:
        width, height = height, width
    fitting = (factor for factor in _REDUCTIONS if width >= factor * size[0] and height >= factor * size[1])
    return next(fitting, 1)
