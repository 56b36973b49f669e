"""Random codes of every class, in the mixture that is met: short ones mostly, and of the sizes that are confused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from training.scenes import payloads
from training.scenes.symbols import (
    ARUCO_DICTIONARIES,
    AZTEC,
    BARCODE,
    BARCODE_KINDS,
    PDF417,
    Symbol,
    encode_aruco,
    encode_barcode,
    encode_datamatrix,
    encode_format,
    encode_qr,
)

__all__ = ["banked_symbol", "random_class", "random_symbol"]

_BANK_SIZE = 1024
_BANK_STREAM = 0x5B000000
#: Shares of the classes, in the order of CLASS_NAMES: the rarer symbologies need fewer, as they vary less.
_CLASS_SHARES = (0.24, 0.27, 0.21, 0.12, 0.08, 0.08)
#: Written by zxing-cpp: GS1 DataBar in all its shapes, and 1-D barcodes that python-barcode does not know.
_RARE_BARCODES = (
    "DataBarOmni",
    "DataBarStk",
    "DataBarStkOmni",
    "DataBarLtd",
    "DataBarExp",
    "DataBarExpStk",
    "UPCE",
    "Code93",
    "Telepen",
)
_RARE = 0.2


def random_class(rng: np.random.Generator) -> int:
    """A class as often as scenes show it."""
    return int(rng.choice(len(_CLASS_SHARES), p=_CLASS_SHARES))


def random_symbol(rng: np.random.Generator, class_id: int) -> Symbol:
    """Encode a random payload with random options of the class's encoder."""
    return _MAKERS[class_id](rng)


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


def _short_text(rng: np.random.Generator, longest: int) -> str:
    """Digits or capitals and digits, 3 to `longest` of them."""
    made = payloads.digits if rng.random() < 0.5 else payloads.serial
    return made(rng, int(rng.integers(3, longest + 1)))


def _random_qr(rng: np.random.Generator) -> Symbol:
    kind = rng.random()
    if kind < 0.06:
        return encode_qr(_short_text(rng, 8), "lm"[rng.integers(2)], micro=True)
    if kind < 0.5:
        # Versions 1 to 3, 21 to 29 modules: as fine as a Data Matrix of everyday size, beside which they are learnt.
        return encode_qr(_short_text(rng, int(rng.choice([18, 40, 64]))), "lmq"[rng.integers(3)])
    return encode_qr(_random_text(rng), "lmqh"[rng.integers(4)])


def _random_barcode(rng: np.random.Generator) -> Symbol:
    if rng.random() < _RARE:
        return _rare_barcode(rng)
    kind = BARCODE_KINDS[rng.choice(len(BARCODE_KINDS), p=(0.22, 0.12, 0.26, 0.1, 0.12, 0.07, 0.06, 0.05))]
    length = int(rng.integers(5, 15))
    fixed = {"ean13": 12, "ean8": 7, "upca": 11}
    if kind in fixed:
        return encode_barcode(kind, payloads.digits(rng, fixed[kind]))
    if kind == "itf":
        return encode_barcode(kind, payloads.digits(rng, length + length % 2))
    if kind == "codabar":
        return encode_barcode(kind, f"A{payloads.digits(rng, length)}B")
    return encode_barcode(kind, payloads.serial(rng, length))


def _rare_barcode(rng: np.random.Generator) -> Symbol:
    name = _RARE_BARCODES[rng.integers(len(_RARE_BARCODES))]
    item = f"0{payloads.digits(rng, 12)}"
    if name.startswith("DataBarExp"):
        text = f"(01){_checked(item)}(10){payloads.serial(rng, int(rng.integers(2, 9)))}"
    elif name.startswith("DataBar"):
        text = item
    elif name == "UPCE":
        # Any other last digit asks for zeros among those before.
        text = f"0{''.join(map(str, rng.integers(1, 10, 5)))}{rng.integers(5, 10)}"
    else:
        text = payloads.serial(rng, int(rng.integers(5, 14)))
    return encode_format(BARCODE, name, text)


def _checked(item: str) -> str:
    """13 digits of a GTIN with the check digit behind them (GS1 General Specifications, section 7.9)."""
    total = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(item))
    return f"{item}{-total % 10}"


def _random_datamatrix(rng: np.random.Generator) -> Symbol:
    kind = rng.random()
    if kind < 0.12:
        return encode_datamatrix(payloads.serial(rng, int(rng.integers(3, 16))), rectangular=True)
    if kind < 0.72:
        # 10 to 24 modules: what is marked on parts and printed on medicine.
        longest = int(rng.choice([6, 12, 24, 36]))
        return encode_datamatrix(_short_text(rng, longest))
    return encode_datamatrix(_random_text(rng))


def _random_aruco(rng: np.random.Generator) -> Symbol:
    name = ARUCO_DICTIONARIES[rng.integers(len(ARUCO_DICTIONARIES))]
    count = len(cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name)).bytesList)
    return encode_aruco(name, int(rng.integers(count)))


def _random_pdf417(rng: np.random.Generator) -> Symbol:
    name = ("PDF417", "CompactPDF417", "MicroPDF417")[rng.choice(3, p=(0.72, 0.16, 0.12))]
    text = _short_text(rng, 40) if name == "MicroPDF417" or rng.random() < 0.3 else _random_text(rng)
    return encode_format(PDF417, name, text)


def _random_aztec(rng: np.random.Generator) -> Symbol:
    if rng.random() < 0.05:
        return encode_format(AZTEC, "AztecRune", str(rng.integers(256)))
    text = _short_text(rng, 20) if rng.random() < 0.5 else _random_text(rng)
    return encode_format(AZTEC, "AztecCode", text)


_MAKERS: tuple[Callable[[np.random.Generator], Symbol], ...] = (
    _random_qr,
    _random_barcode,
    _random_datamatrix,
    _random_aruco,
    _random_pdf417,
    _random_aztec,
)
