"""From a photo to the text of its codes: darknet-py finds them, OpenCV reads them (Data Matrix codes: zxing-cpp).

Usage: ``python examples/read_codes.py photo.jpg ...`` or ``python examples/read_codes.py --compare 20``

Large pictures are searched in tiles as well (tiles.py). Each code found is cut out, enlarged if it is small, and given
to the reader of its class (and of classes easily taken for it), as it is and with dark and light exchanged.
``--compare`` counts on generated pictures what is read so, and by OpenCV's readers alone.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from tiles import Picture, find_everywhere

from darknet_py import DarknetError, Detector
from darknet_py.image import load_image

try:
    import zxingcpp
except ImportError:  # optional: OpenCV has no reader of Data Matrix codes
    zxingcpp = None

#: Share of its size that is added to a box on every side: codes need the quiet zone around them.
MARGIN = 0.2
#: Shorter sides that a crop is enlarged to, in pixels, until one can be read; 1 takes it as it is.
SIDES = (200, 1, 150, 300, 600)
#: No crop is enlarged beyond this, in pixels.
LONGEST = 2000
#: Widths of a marker's black frame, in modules.
BORDERS = (1, 2)


class Reading(NamedTuple):
    """A text, and where the middle of its code lies in the picture read."""

    text: str
    x: float
    y: float


# Reading ------------------------------------------------------------------------------------------------------


def read_qr(grey: Picture) -> list[Reading]:
    """QR codes, by the better of OpenCV's readers where it has two."""
    reader = getattr(cv2, "QRCodeDetectorAruco", cv2.QRCodeDetector)
    return _readings(*reader().detectAndDecodeMulti(grey)[1:3])


def read_barcodes(grey: Picture) -> list[Reading]:
    """EAN and UPC barcodes, by OpenCV where it has a reader of them."""
    if not hasattr(cv2, "barcode"):
        return []
    return _readings(*cv2.barcode.BarcodeDetector().detectAndDecodeMulti(grey)[1:3])


def read_data_matrices(grey: Picture) -> list[Reading]:
    """Data Matrix codes, by zxing-cpp if it is installed."""
    if zxingcpp is None:
        return []
    found = zxingcpp.read_barcodes(grey, formats=zxingcpp.BarcodeFormat.DataMatrix)
    corners = [[(at.x, at.y) for at in (p.top_left, p.bottom_right)] for p in (code.position for code in found)]
    return _readings([code.text for code in found], corners)


def read_markers(grey: Picture) -> list[Reading]:
    """ArUco and AprilTag markers as ``DICT_4X4_50:17``: of the dictionaries that know a marker, the best-fitting."""
    best: dict[tuple[float, float], tuple[float, Reading]] = {}
    for border in BORDERS:
        for name, number, quad in _find_markers(grey, border):
            (reading,) = _readings([f"{name}:{number}"], [quad])
            fit = _agreement(grey, quad, name, number, border)
            here, near = (reading.x, reading.y), math.dist(quad[0], quad[1]) / 2
            place = next((other for other in best if math.dist(other, here) < near), here)
            # The small dictionaries of a family are the beginnings of the larger: of equals, the first is kept.
            if place not in best or fit > best[place][0] + 0.01:
                best[place] = (fit, reading)
    return [reading for _, reading in best.values()]


#: Classes that the model may take for another, small or blurred as they are: their readers try what a box's own cannot
#: read. Not that of markers, which asks a dozen dictionaries and so takes patches of dark and light squares for one.
ALSO = {"qr": ("datamatrix",), "datamatrix": ("qr",), "aruco": ("qr", "datamatrix")}

#: What reads a class that the built-in model finds.
READERS: dict[str, Callable[[Picture], list[Reading]]] = {
    "qr": read_qr,
    "barcode": read_barcodes,
    "datamatrix": read_data_matrices,
    "aruco": read_markers,
}


def read(grey: Picture, class_name: str) -> list[Reading]:
    """All codes of a class that can be read in a picture."""
    try:
        return READERS[class_name](grey)
    except (cv2.error, UnicodeDecodeError):  # OpenCV's QR reader, on some damaged codes and on binary content
        return []


def read_crop(image: Picture, xyxy: Sequence[float], class_name: str) -> tuple[str, str] | None:
    """Class and text of the code inside a box of a BGR picture; None if no reader of the class or `ALSO` can tell."""
    crop = cv2.cvtColor(cut(image, xyxy), cv2.COLOR_BGR2GRAY)
    texts = ((name, _read_enlarged(crop, name)) for name in (class_name, *ALSO.get(class_name, ())))
    return next(((name, text) for name, text in texts if text is not None), None)


def _read_enlarged(crop: Picture, class_name: str) -> str | None:
    """What the reader of a class makes of the middle of a grey crop, in the sizes of `SIDES`."""
    largest = LONGEST / max(crop.shape)
    for scale in dict.fromkeys(max(1.0, min(side / min(crop.shape), largest)) for side in SIDES):
        grey = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        middle = grey.shape[1] / 2, grey.shape[0] / 2
        # OpenCV's readers see no light code on a dark ground: 4 of 33 QR codes in six large pictures are read so alone.
        for shown in (grey, 255 - grey):
            if found := read(shown, class_name):
                return min(found, key=lambda reading: math.dist(reading[1:], middle)).text
    return None


def cut(image: Picture, xyxy: Sequence[float]) -> Picture:
    """A box with `MARGIN` around it, as far as the picture reaches; at least one pixel."""
    left, top, right, bottom = xyxy
    dx, dy = MARGIN * (right - left), MARGIN * (bottom - top)
    height, width = image.shape[:2]
    x0, y0 = min(max(int(left - dx), 0), width - 1), min(max(int(top - dy), 0), height - 1)
    return image[y0 : max(math.ceil(bottom + dy), y0 + 1), x0 : max(math.ceil(right + dx), x0 + 1)]


def _readings(texts: Sequence[str], corners: Sequence[NDArray[np.float32]] | None) -> list[Reading]:
    pairs = zip(texts, [] if corners is None else corners, strict=False)
    return [Reading(text, *map(float, np.mean(quad, axis=0))) for text, quad in pairs if text]


@cache
def _dictionaries() -> dict[str, cv2.aruco.Dictionary]:
    names = sorted((getattr(cv2.aruco, name), name) for name in dir(cv2.aruco) if name.startswith("DICT_"))
    # Two spellings of a name have one value; the later ("36h11", not "36H11") is the one of every version.
    return {name: cv2.aruco.getPredefinedDictionary(value) for value, name in dict(names).items()}


@cache
def _marker_detector(border: int, dictionary: str | None) -> cv2.aruco.ArucoDetector:
    parameters = cv2.aruco.DetectorParameters()
    parameters.markerBorderBits = border
    known = _dictionaries()
    return cv2.aruco.ArucoDetector(known[dictionary] if dictionary else tuple(known.values()), parameters)


def _find_markers(grey: Picture, border: int) -> Iterator[tuple[str, int, NDArray[np.float32]]]:
    """Dictionary, number and corners of each marker of each dictionary."""
    names = tuple(_dictionaries())
    if hasattr(cv2.aruco.ArucoDetector, "detectMarkersMultiDict"):  # all at once, where OpenCV can
        corners, ids, _, which = _marker_detector(border, None).detectMarkersMultiDict(grey)
        if ids is not None:
            yield from ((names[i], int(n), c[0]) for c, n, i in zip(corners, ids.flat, which.flat, strict=True))
        return
    for name in names:
        corners, ids, _ = _marker_detector(border, name).detectMarkers(grey)
        if ids is not None:
            yield from ((name, int(n), c[0]) for c, n in zip(corners, ids.flat, strict=True))


def _agreement(grey: Picture, quad: NDArray[np.float32], name: str, number: int, border: int) -> float:
    """Share of the pixels of a marker, brought upright and made black and white, that are as it is printed."""
    dictionary = _dictionaries()[name]
    side = 8 * (dictionary.markerSize + 2 * border)
    square = np.array(((0, 0), (side, 0), (side, side), (0, side)), np.float32)
    upright = cv2.warpPerspective(grey, cv2.getPerspectiveTransform(quad, square), (side, side))
    _, seen = cv2.threshold(upright, 0, 255, cv2.THRESH_OTSU)
    return float((seen == cv2.aruco.generateImageMarker(dictionary, number, side, borderBits=border)).mean())


# The command line ---------------------------------------------------------------------------------------------


@click.command()
@click.argument("pictures", nargs=-1, type=click.Path(dir_okay=False))
@click.option("--tile", default=1024, show_default=True, type=click.IntRange(64), help="Side of the smallest tiles.")
@click.option("--thresh", default=0.25, show_default=True, type=click.FloatRange(0, 1), help="Lowest confidence.")
@click.option("--compare", metavar="N", type=click.IntRange(1), help="Read N generated pictures instead, by "
              "OpenCV alone and by crops.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Of the first generated picture.")
@click.option(
    "--json", "report", type=click.Path(dir_okay=False, path_type=Path), help="Also write --compare's counts."
)
def main(
    pictures: tuple[str, ...], tile: int, thresh: float, compare: int | None, seed: int, report: Path | None
) -> None:
    """Find the codes in PICTURES and read them: one line per code with its file, class (what could be read, else what
    the model says), box and text."""
    if bool(pictures) == bool(compare):
        raise click.UsageError("expected either pictures or --compare N")
    if report and not compare:
        raise click.UsageError("--json without --compare")
    try:
        detector = Detector()
        if compare:
            counted = compare_readers(detector, range(seed, seed + compare), (4000, 3000), tile, thresh)
            if report:
                report.write_text(json.dumps(counted, indent=1) + "\n")
    except ImportError as error:
        raise click.ClickException(f"{error}; the generator of pictures needs: pip install '.[train]'") from error
    except (DarknetError, OSError) as error:
        raise click.ClickException(str(error)) from error
    failed = [name for name in pictures if not _show_codes(detector, name, tile, thresh)]
    if failed:
        sys.exit(1)


def _show_codes(detector: Detector, name: str, tile: int, thresh: float) -> bool:
    """Print the codes of a picture, each text once at its place; False if the picture cannot be read."""
    try:
        image = cv2.cvtColor(load_image(name), cv2.COLOR_RGB2BGR)
        found = find_everywhere(detector, image, tile, thresh)
    except DarknetError as error:
        click.echo(f"Error: {error}", err=True)
        return False
    readings = [(read_crop(image, code.xyxy, code.class_name), code) for code in found]
    shown: list[tuple[tuple[str, str] | None, Sequence[float]]] = []
    for reading, code in sorted(readings, key=lambda pair: pair[0] is None):
        # Found twice, as a QR code and as a Data Matrix code, perhaps read once.
        if any(reading in (other, None) and _meet(code.xyxy, box) for other, box in shown):
            continue
        shown.append((reading, code.xyxy))
        class_name, text = (code.class_name, "(not read)") if reading is None else (reading[0], repr(reading[1]))
        click.echo(f"{name}: {class_name} {' '.join(f'{corner:.0f}' for corner in code.xyxy)} {text}")
    return True


def _meet(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the middle of one box lies in another."""
    x, y = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2
    return bool(b[0] <= x <= b[2] and b[1] <= y <= b[3])


def compare_readers(
    detector: Detector, seeds: Sequence[int], size: tuple[int, int], tile: int, thresh: float
) -> dict[str, Any]:
    """Print how many codes of generated pictures OpenCV reads alone, and in the crops that the detector gives it."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the generator is in the checkout, not in the package
    from training.heldout import large_scene

    counts: Counter[tuple[str, str]] = Counter()
    seconds: Counter[str] = Counter()
    detector.detect(np.zeros((32, 32, 3), np.uint8))  # compiles, which is not to be timed
    for seed in seeds:
        image, truth = large_scene(seed, size)
        for way, look in (("alone", _read_alone), ("crops", partial(_read_crops, detector, tile, thresh))):
            start = time.perf_counter()
            readings = look(image)
            seconds[way] += time.perf_counter() - start
            for class_id, xyxy, payload in truth:
                counts[way, detector.names[class_id]] += _was_read(payload, xyxy, readings)
        counts.update(("codes", detector.names[class_id]) for class_id, _, _ in truth)
    click.echo(f"{len(seeds)} pictures of {size[0]}x{size[1]}\n{'':12}{'codes':>6}{'OpenCV alone':>14}{'crops':>14}")
    for name in detector.names:
        total = counts["codes", name]
        shares = (f"{counts[way, name]} ({counts[way, name] / max(total, 1):.0%})" for way in ("alone", "crops"))
        click.echo(f"{name:12}{total:6}" + "".join(f"{share:>14}" for share in shares))
    click.echo(f"{'s per picture':18}" + "".join(f"{seconds[way] / len(seeds):14.2f}" for way in ("alone", "crops")))
    ways = ("codes", "alone", "crops")
    return {
        "pictures": len(seeds),
        "size": size,
        "classes": {name: {way: counts[way, name] for way in ways} for name in detector.names if counts["codes", name]},
        "seconds": {way: seconds[way] / len(seeds) for way in ("alone", "crops")},
    }


def _read_alone(image: Picture) -> list[Reading]:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return [reading for name in ("qr", "barcode", "aruco") for reading in read(grey, name)]


def _read_crops(detector: Detector, tile: int, thresh: float, image: Picture) -> list[Reading]:
    found = find_everywhere(detector, image, tile, thresh)
    texts = [read_crop(image, code.xyxy, code.class_name) or ("", "") for code in found]
    return _readings([text for _, text in texts], found.xyxy.reshape(-1, 2, 2))


def _was_read(payload: str, xyxy: Sequence[float], readings: Sequence[Reading]) -> bool:
    """Whether one of the readings is this code's: its text, from its place."""

    def plain(text: str) -> str:
        # DICT_4X4_50 is the beginning of DICT_4X4_1000; UPC-A is EAN-13 without the zero before it.
        return re.sub(r"(DICT_\dX\d)_\d+", r"\1", text).lstrip("0")

    left, top, right, bottom = xyxy
    return any(left < x < right and top < y < bottom and plain(text) == plain(payload) for text, x, y in readings)


if __name__ == "__main__":
    main()
