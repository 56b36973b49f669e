"""Machine-readable codes from their encoders, one array element a module.

QR and Micro QR come from segno, 1-D barcodes from python-barcode, Data Matrix (ECC 200) from ppf.datamatrix and
fiducial markers from OpenCV's ArUco and AprilTag dictionaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import barcode
import cv2
import numpy as np
import segno
from numpy.typing import NDArray
from ppf.datamatrix import DataMatrix

from training.scenes import payloads

__all__ = [
    "ARUCO",
    "ARUCO_DICTIONARIES",
    "BARCODE",
    "BARCODE_KINDS",
    "CLASS_NAMES",
    "DATAMATRIX",
    "QR",
    "Symbol",
    "banked_symbol",
    "encode_aruco",
    "encode_barcode",
    "encode_datamatrix",
    "encode_qr",
    "random_symbol",
]

CLASS_NAMES = ("qr", "barcode", "datamatrix", "aruco")
QR, BARCODE, DATAMATRIX, ARUCO = range(len(CLASS_NAMES))

BARCODE_KINDS = ("code128", "code39", "ean13", "ean8", "upca", "itf", "gs1_128", "codabar")
ARUCO_DICTIONARIES = tuple(
    f"DICT_{family}"
    for family in (
        *(f"{n}X{n}_{size}" for n in (4, 5, 6, 7) for size in (50, 100, 250, 1000)),
        "ARUCO_ORIGINAL",
        "APRILTAG_16h5",
        "APRILTAG_25h9",
        "APRILTAG_36h10",
        "APRILTAG_36h11",
        "ARUCO_MIP_36h12",
    )
)

_BANK_SIZE = 1024
_BANK_STREAM = 0x5B000000


@dataclass(frozen=True)
class Symbol:
    """A code before it is printed.

    Attributes
    ----------
    class_id : int
        Index into CLASS_NAMES.
    kind : str
        Symbology, or the marker's dictionary.
    payload : str
        What a reader returns; for a marker its number.
    modules : uint8 array (rows, columns)
        1 for ink, 0 for paper, without a quiet zone; a 1-D barcode has one row.
    quiet : int
        Modules of quiet zone its standard asks for on each side.
    """

    class_id: int
    kind: str
    payload: str
    modules: NDArray[np.uint8]
    quiet: int

    @property
    def may_be_inverted(self) -> bool:
        """Whether it is met light on dark: readers accept that for QR and Data Matrix alone."""
        return self.class_id in (QR, DATAMATRIX)

    def ink(self, width: int, height: int) -> NDArray[np.uint8]:
        """Print the modules at a size.

        Parameters
        ----------
        width, height : int
            Size in pixels, at least 1; need not be a multiple of the module count.

        Returns
        -------
        uint8 array (height, width)
            Ink coverage, 0 for bare paper to 255 for full ink, averaged over each pixel's area.
        """
        rows, columns = self.modules.shape
        fine = (columns * -(-width // columns), rows * -(-height // rows))
        printed = cv2.resize(self.modules * np.uint8(255), fine, interpolation=cv2.INTER_NEAREST)
        return cv2.resize(printed, (width, height), interpolation=cv2.INTER_AREA)


def encode_qr(payload: str, error: str = "m", micro: bool = False) -> Symbol:
    """Encode a QR code of the smallest version that fits.

    Parameters
    ----------
    payload : str
    error : str
        Error correction level: "l", "m", "q" or "h"; a Micro QR code has no "h".
    micro : bool
        Make a Micro QR code (M1 to M4).

    Raises
    ------
    segno.DataOverflowError
        When the payload does not fit.
    """
    code = segno.make(payload, error=error, micro=micro, boost_error=False)
    modules = np.array([list(row) for row in code.matrix], np.uint8)
    return Symbol(QR, "microqr" if micro else "qr", payload, modules, 2 if micro else 4)


def encode_barcode(kind: str, payload: str) -> Symbol:
    """Encode a 1-D barcode.

    Parameters
    ----------
    kind : str
        One of BARCODE_KINDS.
    payload : str
        Without the check digit where the symbology appends one (EAN, UPC-A); the symbol's payload then includes it.
    """
    options = {"add_checksum": False} if kind == "code39" else {}
    writer = barcode.get_barcode_class(kind)(payload, **options)
    bars = writer.build()[0]
    read = writer.get_fullcode() if kind in ("ean13", "ean8", "upca") else payload
    return Symbol(BARCODE, kind, read, np.array([list(bars)], np.uint8), 10)


def encode_datamatrix(payload: str, rectangular: bool = False) -> Symbol:
    """Encode a Data Matrix of the smallest size that fits; `rectangular` holds for short payloads only."""
    matrix = np.array(DataMatrix(payload, rect=rectangular).matrix, np.uint8)
    return Symbol(DATAMATRIX, "datamatrix", payload, matrix, 1)


def encode_aruco(dictionary: str, marker: int) -> Symbol:
    """Draw a fiducial marker with its black frame of one module.

    Parameters
    ----------
    dictionary : str
        One of ARUCO_DICTIONARIES.
    marker : int
        Number in the dictionary.
    """
    predefined = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    side = predefined.markerSize + 2
    light = cv2.aruco.generateImageMarker(predefined, marker, side, borderBits=1)
    return Symbol(ARUCO, dictionary, str(marker), (light < 128).astype(np.uint8), 1)


def random_symbol(rng: np.random.Generator, class_id: int) -> Symbol:
    """Encode a random payload with random options of the class's encoder."""
    return (_random_qr, _random_barcode, _random_datamatrix, _random_aruco)[class_id](rng)


@cache
def banked_symbol(seed: int, class_id: int, number: int) -> Symbol:
    """Symbol `number` (modulo 1024) of a seed's bank; encoded when first asked for, then kept.

    Encoding a QR code takes longer than rendering a scene; a bank pays it once.
    """
    if number >= _BANK_SIZE:
        return banked_symbol(seed, class_id, number % _BANK_SIZE)
    return random_symbol(np.random.default_rng((seed, _BANK_STREAM + class_id, number)), class_id)


def _random_text(rng: np.random.Generator) -> str:
    match rng.integers(6):
        case 0 | 1:
            return payloads.url(rng)
        case 2:
            return payloads.digits(rng, int(rng.integers(6, 40)))
        case 3:
            return payloads.serial(rng, int(rng.integers(6, 32)))
        case 4:
            return payloads.vcard(rng)
        case _:
            return payloads.sentence(rng, int(rng.integers(2, 16)))


def _random_qr(rng: np.random.Generator) -> Symbol:
    if rng.random() < 0.06:
        text = payloads.digits if rng.random() < 0.5 else payloads.serial
        return encode_qr(text(rng, int(rng.integers(3, 9))), "lm"[rng.integers(2)], micro=True)
    return encode_qr(_random_text(rng), "lmqh"[rng.integers(4)])


def _random_barcode(rng: np.random.Generator) -> Symbol:
    kind = BARCODE_KINDS[rng.choice(len(BARCODE_KINDS), p=(0.22, 0.12, 0.24, 0.1, 0.12, 0.08, 0.06, 0.06))]
    length = int(rng.integers(5, 15))
    fixed = {"ean13": 12, "ean8": 7, "upca": 11}
    if kind in fixed:
        return encode_barcode(kind, payloads.digits(rng, fixed[kind]))
    if kind == "itf":
        return encode_barcode(kind, payloads.digits(rng, length + length % 2))
    if kind == "codabar":
        return encode_barcode(kind, f"A{payloads.digits(rng, length)}B")
    return encode_barcode(kind, payloads.serial(rng, length))


def _random_datamatrix(rng: np.random.Generator) -> Symbol:
    if rng.random() < 0.15:
        return encode_datamatrix(payloads.serial(rng, int(rng.integers(3, 16))), rectangular=True)
    return encode_datamatrix(_random_text(rng))


def _random_aruco(rng: np.random.Generator) -> Symbol:
    name = ARUCO_DICTIONARIES[rng.integers(len(ARUCO_DICTIONARIES))]
    count = len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name)).bytesList)
    return encode_aruco(name, int(rng.integers(count)))
