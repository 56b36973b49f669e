"""Machine-readable codes from their encoders, one array element a module.

QR and Micro QR come from segno, the usual 1-D barcodes from python-barcode, Data Matrix (ECC 200) from ppf.datamatrix,
fiducial markers from OpenCV's ArUco and AprilTag dictionaries; GS1 DataBar, the rarer 1-D barcodes, PDF417 and Aztec
from zxing-cpp, as no other library in Python writes them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import barcode
import cv2
import numpy as np
import segno
import zxingcpp
from numpy.typing import NDArray
from ppf.datamatrix import DataMatrix

__all__ = [
    "ARUCO",
    "ARUCO_DICTIONARIES",
    "AZTEC",
    "BARCODE",
    "BARCODE_KINDS",
    "CLASS_NAMES",
    "DATAMATRIX",
    "PDF417",
    "QR",
    "Symbol",
    "encode_aruco",
    "encode_barcode",
    "encode_datamatrix",
    "encode_format",
    "encode_qr",
]

CLASS_NAMES = ("qr", "barcode", "datamatrix", "aruco", "pdf417", "aztec")
QR, BARCODE, DATAMATRIX, ARUCO, PDF417, AZTEC = range(len(CLASS_NAMES))

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
        1 for ink, 0 for paper, without a quiet zone; a 1-D barcode has one row, a stacked one more.
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
        """Whether it is met light on dark: readers accept that for QR, Data Matrix and Aztec alone."""
        return self.class_id in (QR, DATAMATRIX, AZTEC)

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


def encode_format(class_id: int, format_name: str, payload: str) -> Symbol:
    """Encode by zxing-cpp what the other encoders do not write.

    Parameters
    ----------
    class_id : int
        Index into CLASS_NAMES.
    format_name : str
        zxing-cpp's name of the symbology, for example ``DataBarOmni``, ``PDF417`` or ``AztecCode``; the symbol's kind.
    payload : str

    Raises
    ------
    ValueError
        When the symbology cannot hold the payload.
    """
    created = zxingcpp.create_barcode(payload, getattr(zxingcpp.BarcodeFormat, format_name))
    picture = np.asarray(zxingcpp.write_barcode_to_image(created, scale=1, add_hrt=False, add_quiet_zones=False))
    dark = np.atleast_2d(picture.squeeze()) < 128
    if class_id == BARCODE:
        # From the first bar to the last; an Aztec code's edge may be light.
        inked = np.flatnonzero(dark.any(axis=0))
        dark = dark[:, inked[0] : inked[-1] + 1]
    modules = dark[:1] if (dark == dark[0]).all() else dark
    quiet = {PDF417: 2, AZTEC: 0, BARCODE: 1 if format_name.startswith("DataBar") else 10}[class_id]
    return Symbol(class_id, format_name, payload, modules.astype(np.uint8), quiet)
