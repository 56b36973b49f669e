"""Random contents of codes and the words printed beside them."""

from __future__ import annotations

import string

import numpy as np

__all__ = ["digits", "label_line", "sentence", "serial", "url", "vcard", "word"]

_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr pl pr sc sh sl st th tr".split()
_VOWELS = "a e i o u ai ea ee ie io oa ou".split()
_CODAS = ["", "", "n", "r", "s", "t", "l", "m", "nd", "rt", "st", "ck", "ng"]
_LABELS = (
    "LOT EXP MFG REF SN P/N QTY ORDER FROM TO SHIP NET WT MODEL FRAGILE DATE ROOM TICKET SEAT GATE PRICE TOTAL "
    "MADE IN ITEM BATCH CLASS TYPE SIZE COLOR REV UNIT SCAN ME MENU WIFI PAY HERE INVOICE CUSTOMER STORE KEEP DRY"
).split()
_DOMAINS = ("example.com", "example.org", "example.net")


def word(rng: np.random.Generator) -> str:
    """A pronounceable word of one to three syllables."""
    parts = (_ONSETS, _VOWELS, _CODAS) * int(rng.integers(1, 4))
    return "".join(part[rng.integers(len(part))] for part in parts)


def sentence(rng: np.random.Generator, words: int) -> str:
    """Words with spaces between them, the first with a capital, some with a comma behind."""
    parts = [word(rng) + ("," if rng.random() < 0.08 else "") for _ in range(words)]
    return " ".join(parts).capitalize()


def digits(rng: np.random.Generator, count: int) -> str:
    """Decimal digits."""
    return "".join(map(str, rng.integers(0, 10, count)))


def serial(rng: np.random.Generator, count: int) -> str:
    """Capitals and digits, as on a type plate."""
    alphabet = string.ascii_uppercase + string.digits
    return "".join(alphabet[i] for i in rng.integers(0, len(alphabet), count))


def url(rng: np.random.Generator) -> str:
    """A web address in a domain reserved for documentation (RFC 2606)."""
    path = "/".join(word(rng) for _ in range(rng.integers(1, 4)))
    query = f"?id={serial(rng, int(rng.integers(4, 16)))}" if rng.random() < 0.5 else ""
    return f"https://{_DOMAINS[rng.integers(len(_DOMAINS))]}/{path}{query}"


def vcard(rng: np.random.Generator) -> str:
    """A contact as a phone shows it: name, telephone and mail (vCard 3.0, RFC 2426)."""
    first, last = word(rng).capitalize(), word(rng).capitalize()
    return (
        f"BEGIN:VCARD\nVERSION:3.0\nN:{last};{first}\nTEL:+1555{digits(rng, 7)}\n"
        f"EMAIL:{first.lower()}@example.com\nEND:VCARD"
    )


def label_line(rng: np.random.Generator) -> str:
    """One line as labels carry it: a heading, a heading with a value, an amount or a few words."""
    heading = _LABELS[rng.integers(len(_LABELS))]
    match rng.integers(5):
        case 0:
            return f"{heading}: {serial(rng, int(rng.integers(4, 12)))}"
        case 1:
            return f"{heading} {digits(rng, int(rng.integers(3, 10)))}"
        case 2:
            return f"{rng.integers(1, 999)}.{rng.integers(100):02d}"
        case 3:
            return f"{heading} {_LABELS[rng.integers(len(_LABELS))]}"
        case _:
            return sentence(rng, int(rng.integers(1, 6)))
