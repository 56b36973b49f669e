"""Symbols of the held-out set: modules from zxing-cpp's writers and OpenCV's marker dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.words import sentence, word

try:
    import zxingcpp
except ImportError as error:
    raise ImportError(
        "The held-out set is encoded by zxing-cpp, which is not installed: pip install 'zxing-cpp>=3.1'"
    ) from error

__all__ = [
    "CLASSES",
    "MARKER_DICTIONARIES",
    "Symbol",
    "draw_symbol",
    "make_data_matrix",
    "make_linear",
    "make_marker",
    "make_qr",
]

CLASSES = ("qr", "barcode", "datamatrix", "aruco")

MARKER_DICTIONARIES = (
    "DICT_4X4_50",
    "DICT_4X4_1000",
    "DICT_5X5_100",
    "DICT_6X6_250",
    "DICT_7X7_100",
    "DICT_ARUCO_ORIGINAL",
    "DICT_APRILTAG_16h5",
    "DICT_APRILTAG_36h11",
)


class Symbol(NamedTuple):
    """One encoded symbol without its quiet zone.

    Attributes
    ----------
    class_id : int
        Index into `CLASSES`.
    dark : bool array (h, w)
        True where a module is dark; the outermost modules touch the array's edges.
    payload : str
        What a reader returns; for a marker, dictionary and id: ``DICT_4X4_50:17``.
    kind : str
        zxing-cpp's name of the format, or the marker's dictionary.
    """

    class_id: int
    dark: NDArray[np.bool_]
    payload: str
    kind: str


def _modules(content: str, format_name: str, **options: object) -> NDArray[np.bool_]:
    """Dark modules as zxing-cpp writes them, cropped to the outermost dark ones."""
    barcode = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, format_name), **options)
    dark = np.asarray(barcode.to_image(scale=1, add_quiet_zones=False)) < 128
    # DataBar's writer starts with a light guard module, which is no visible edge.
    columns, rows = np.flatnonzero(dark.any(axis=0)), np.flatnonzero(dark.any(axis=1))
    return dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def make_qr(content: str, level: str = "M") -> Symbol:
    """QR code of a text at error-correction level L, M, Q or H."""
    return Symbol(0, _modules(content, "QRCode", ec_level=level), content, "QRCode")


def make_data_matrix(content: str, square: bool = True) -> Symbol:
    """Data Matrix (ECC 200) of a text; not `square` takes a rectangle where that is smaller."""
    return Symbol(2, _modules(content, "DataMatrix", force_square=square), content, "DataMatrix")


def make_marker(dictionary: str, marker_id: int, border_bits: int = 1) -> Symbol:
    """ArUco or AprilTag marker with a black frame `border_bits` modules wide."""
    bits = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    side = bits.markerSize + 2 * border_bits
    image = cv2.aruco.generateImageMarker(bits, marker_id, side, borderBits=border_bits)
    return Symbol(3, image < 128, f"{dictionary}:{marker_id}", dictionary)


def _qr(rng: np.random.Generator) -> Symbol:
    content = (
        f"https://example.org/{word(rng)}",
        f"https://example.org/{word(rng)}/{word(rng)}?id={rng.integers(10**8)}",
        f"{rng.integers(10**11)}",
        f"{word(rng).upper()}-{rng.integers(10**5)}",
        sentence(rng, int(rng.integers(8, 22))),
        f"WIFI:T:WPA;S:{word(rng)};P:{word(rng)}{rng.integers(1000)};;",
    )[rng.integers(6)]
    return make_qr(content, "LMQH"[rng.integers(4)])


def _data_matrix(rng: np.random.Generator) -> Symbol:
    square = rng.random() < 0.75
    length = int(rng.choice([4, 8, 14, 26, 44] if square else [5, 9, 15, 20, 30]))
    text = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZ0123456789"), length))
    if rng.random() < 0.4:
        text = "".join(rng.choice(list("0123456789"), 2 * length))
    return make_data_matrix(text, square)


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(str(digit) for digit in rng.integers(0, 10, count))


def _code128(rng: np.random.Generator) -> str:
    return f"{word(rng).upper()[:4]}-{_digits(rng, int(rng.integers(4, 12)))}"


_LINEAR: dict[str, Callable[[np.random.Generator], str]] = {
    "Code128": _code128,
    "Code39": lambda rng: f"{word(rng).upper()[:3]}{_digits(rng, int(rng.integers(3, 6)))}",
    "EAN13": lambda rng: f"4{_digits(rng, 11)}",
    "EAN8": lambda rng: _digits(rng, 7),
    "UPCA": lambda rng: f"0{_digits(rng, 10)}",
    # Small digits would ask for another kind of zero suppression.
    "UPCE": lambda rng: "0" + "".join(str(digit) for digit in rng.integers(3, 10, 6)),
    "ITF": lambda rng: _digits(rng, 2 * int(rng.integers(4, 8))),
    "Codabar": lambda rng: f"A{_digits(rng, int(rng.integers(6, 11)))}B",
    "DataBarOmni": lambda rng: f"0{_digits(rng, 12)}",
    "DataBarLtd": lambda rng: f"0{_digits(rng, 12)}",
}
_LINEAR_ODDS = np.array([5, 2, 5, 2, 2, 1, 2, 1, 1, 1.0])


def make_linear(format_name: str, content: str, height: int, guards: int = 0) -> Symbol:
    """One-dimensional barcode, `height` modules tall.

    Parameters
    ----------
    format_name : str
        zxing-cpp's name of the format, for example ``EAN13``.
    content : str
        Text to encode; the writer adds check digits.
    height : int
        Modules from top to bottom of the bars.
    guards : int
        How many modules EAN's and UPC's guard bars reach below the other bars; 0 where there are none.
    """
    barcode = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, format_name))
    written = _modules(content, format_name)
    dark = np.repeat(written[3:4], height, axis=0)
    if guards:
        dark = np.vstack([dark, np.repeat(written[-1:], guards, axis=0)])
    return Symbol(1, dark, barcode.text, format_name)


def _linear(rng: np.random.Generator) -> Symbol:
    name = str(rng.choice(list(_LINEAR), p=_LINEAR_ODDS / _LINEAR_ODDS.sum()))
    content = _LINEAR[name](rng)
    width = _modules(content, name).shape[1]
    height = max(12, round(width * rng.uniform(0.22, 0.75)))
    guards = 5 if name in ("EAN13", "EAN8", "UPCA") and rng.random() < 0.6 else 0
    return make_linear(name, content, height, guards)


def _marker(rng: np.random.Generator) -> Symbol:
    name = str(rng.choice(MARKER_DICTIONARIES))
    count = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name)).bytesList.shape[0]
    return make_marker(name, int(rng.integers(count)), 1 if rng.random() < 0.75 else 2)


def draw_symbol(rng: np.random.Generator, class_id: int) -> Symbol:
    """A random symbol of a class.

    Raises
    ------
    IndexError
        The class is none of 0..3.
    """
    return (_qr, _linear, _data_matrix, _marker)[class_id](rng)
