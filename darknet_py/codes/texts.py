"""A picture and what a detector found in it to texts: the picture as it is, then each box turned and enlarged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darknet_py.boxes.detections import Detection, Detections
from darknet_py.codes.bars import find_bars, sharpened
from darknet_py.codes.certainty import certain
from darknet_py.codes.code import Code
from darknet_py.codes.likeness import looks_like
from darknet_py.codes.markers import read_markers
from darknet_py.codes.views import Box, View, views_of, whole
from darknet_py.codes.zxing import Read, modules_of, need_zxing, read_view
from darknet_py.pictures.imagesource import ImageSource
from darknet_py.pictures.load import load_image

if TYPE_CHECKING:
    from darknet_py.detector import Detector

__all__ = ["need_reader", "read_codes", "read_found"]

#: The class whose codes OpenCV reads, not zxing-cpp.
_MARKERS = "aruco"
#: Symbologies of which a reader sees a few rows, not the height.
_ROWS = ("EAN", "UPC", "ISBN", "Code", "Codabar", "ITF", "DataBar", "Telepen", "Pharma", "DX")


def need_reader() -> None:
    """See that codes can be read.

    Raises
    ------
    UnsupportedError
        zxing-cpp is not installed.
    """
    need_zxing()


def read_codes(
    detector: Detector,
    image: ImageSource,
    thresh: float = 0.25,
    *,
    bgr: bool = True,
    unread: bool = False,
    tiles: str | tuple[int, int] | int | None = None,
    **options: Any,
) -> list[Code]:
    """Find the codes in a picture and read them.

    Parameters
    ----------
    detector : Detector
        Of codes, such as the built-in model's.
    image : str, Path, bytes, ndarray or PIL.Image.Image
        What `Detector.detect` takes.
    thresh : float
        Lowest confidence of a box that is looked into.
    bgr : bool
        Whether an array is in cv2's channel order; False for RGB.
    unread : bool
        Also give the boxes in which nothing could be read.
    tiles : optional
        Look for codes in tiles, too (see `Detector.detect_tiled`).
    **options
        As for `Detector.detect`.

    Returns
    -------
    list of Code
        From top to bottom.

    Raises
    ------
    ImageError, OptionError
    UnsupportedError
        zxing-cpp is not installed: ``pip install "darknet-numba[codes]"``.
    """
    need_reader()
    pixels = load_image(image, bgr=bgr)
    if tiles is None:
        found = detector.detect(pixels, thresh, bgr=False, **options)
    else:
        found = detector.detect_tiled(pixels, thresh, bgr=False, tiles=tiles, **options)
    return read_found(pixels, found, unread=unread)


def read_found(pixels: NDArray[np.uint8], found: Detections, *, unread: bool = False) -> list[Code]:
    """Read the codes of a picture in which a detector has found some.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C), uint8
        RGB, RGBA or grey.
    found : Detections
    unread : bool
        Also give the boxes in which nothing could be read.
    """
    grey = _grey(pixels)
    boxes = list(found.sorted())
    codes: list[Code] = []
    for read in _in_picture(grey):
        fitting = [one for one in boxes if _is_of(read, one.xyxy)]
        codes.append(_code(read, max(fitting, key=lambda one: _overlap(_bounds(read), one.xyxy), default=None)))
    for one in boxes:
        # Of a code that was read, in this box or in another around it; in a box around several, others are looked for.
        if any(_holds(one.xyxy, code.xyxy) for code in codes):
            continue
        inside = _in_box(grey, one)
        if inside is not None and not any(_same(inside, code) for code in codes):
            codes.append(_code(inside, one))
    if unread:
        codes += _unread(boxes, codes)
    return sorted(codes, key=lambda code: (code.xyxy[1], code.xyxy[0]))


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.ascontiguousarray(pixels.reshape(pixels.shape[:2]))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels[..., :3])).convert("L"))


def _in_picture(grey: NDArray[np.uint8]) -> list[Read]:
    """What is read in the picture as it is; what needs a second read is looked at once more, by itself."""
    sure: list[Read] = []
    for first in read_view(whole(grey)):
        # The box as it is would show the reader what it has just seen: it misreads that alike.
        others = islice(views_of(grey, _bounds(first)), 1, None)
        agreed = certain([first]) or _agreed([first], others, first)
        if agreed is not None:
            sure.append(agreed)
    return sure


def _in_box(grey: NDArray[np.uint8], box: Detection) -> Read | None:
    """What is read in a box: all views of it by zxing-cpp and its bars sharpened, or by OpenCV if it is a marker's."""
    if box.class_name != _MARKERS:
        seen: list[Read] = []
        return _agreed(seen, views_of(grey, box.xyxy), box.xyxy) or _in_bars(seen, grey, box.xyxy)
    reads: list[Read] = []
    for view in views_of(grey, box.xyxy, turned=False):
        reads += [read for read in read_markers(view) if _is_of(read, box.xyxy)]
        # Twice, at two sizes: of the markers of 4 x 4 modules every sixteenth pattern is one.
        if len({read.text for read in reads}) == 1 and len(reads) > 1:
            return reads[0]
    return None if reads else _agreed([], views_of(grey, box.xyxy), box.xyxy)


def _in_bars(reads: Sequence[Read], grey: NDArray[np.uint8], box: Box) -> Read | None:
    """What other reads of a box and those with its bars sharpened agree about, if its modules can be seen there."""
    bars = find_bars(grey, box)
    if bars is None:
        return None
    # Every view has a say: one that is sharpened too much may be misread.
    sharp: list[Read] = []
    for view in sharpened(bars):
        sharp += {(read.kind, read.text): read for read in read_view(view) if _is_of(read, box)}.values()
    read = certain([*reads, *sharp])
    modules = None if read is None else modules_of(read)
    return read if read is not None and modules is not None and looks_like(bars, read.corners, modules) else None


def _agreed(reads: list[Read], views: Iterable[View], place: Read | Box) -> Read | None:
    """What views of one place agree about, as soon as they do."""
    for view in views:
        for read in read_view(view):
            if _same(read, place) if isinstance(place, Read) else _is_of(read, place):
                reads.append(read)
                break
        else:
            continue
        if (agreed := certain(reads)) is not None:
            return agreed
    return None


def _bounds(read: Read) -> Box:
    (left, top), (right, bottom) = read.corners.min(axis=0), read.corners.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(shared / max(areas - shared, 1e-9))


def _is_of(read: Read, box: Sequence[float]) -> bool:
    """Whether a read is that of a box: its middle lies there, and it is not much smaller."""
    middle = read.corners.mean(axis=0)
    inside = box[0] <= middle[0] <= box[2] and box[1] <= middle[1] <= box[3]
    return bool(inside and np.ptp(read.corners, axis=0).max() > 0.3 * max(box[2] - box[0], box[3] - box[1]))


def _holds(box: Sequence[float], code: Box) -> bool:
    """Whether a box is that of a code which was read: their middles lie in each other."""
    return all(
        b[0] <= (a[0] + a[2]) / 2 <= b[2] and b[1] <= (a[1] + a[3]) / 2 <= b[3] for a, b in ((box, code), (code, box))
    )


def _same(read: Read, other: Read | Code) -> bool:
    """Whether two reads are of one place."""
    a = _bounds(read)
    b = _bounds(other) if isinstance(other, Read) else other.xyxy
    near = 0.5 * max(a[2] - a[0], a[3] - a[1], b[2] - b[0], b[3] - b[1])
    return bool(np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2 < near)


def _code(read: Read, box: Detection | None) -> Code:
    """A code of what was read and, of barcodes, of the detector's box as well: readers see a few rows of them."""
    left, top, right, bottom = _bounds(read)
    if box is not None and read.kind.startswith(_ROWS):
        left, top = min(left, box.xyxy[0]), min(top, box.xyxy[1])
        right, bottom = max(right, box.xyxy[2]), max(bottom, box.xyxy[3])
    return Code(
        read.text,
        read.kind,
        (left, top, right, bottom),
        tuple((float(x), float(y)) for x, y in read.corners),
        None if box is None else box.class_name,
        None if box is None else float(box.confidence),
    )


def _unread(boxes: Sequence[Detection], codes: Sequence[Code]) -> list[Code]:
    """Boxes without a text, each place once, under its likeliest class."""
    left: list[Code] = []
    for one in boxes:
        if not any(_holds(one.xyxy, code.xyxy) for code in chain(codes, left)):
            left.append(Code(None, one.class_name, one.xyxy, None, one.class_name, float(one.confidence)))
    return left
