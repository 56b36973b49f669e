"""TIFFs of one strip, or a strip a plane, as no writer at hand makes them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_FORMS = {3: "H", 4: "I", 16: "Q"}


def make_tiff(
    values: np.ndarray,
    photometric: int = 2,
    *,
    planar: bool = False,
    order: str = "<",
    big: bool = False,
    bits: int | None = None,
    **tags: Any,
) -> bytes:
    """`values` (H, W) or (H, W, bands) uncompressed; `tags` such as t338=(2,) are added as shorts, None leaves out.

    With `bits`, `values` are bytes already packed to lines, and a tag t256 gives the width.
    """
    bands = values.shape[2] if values.ndim == 3 else 1
    planes = [values[..., k] for k in range(bands)] if planar else [values]
    strips = [np.ascontiguousarray(plane).astype(plane.dtype.newbyteorder(order)).tobytes() for plane in planes]
    kind = {"u": 1, "i": 2, "f": 3, "c": 6}[values.dtype.kind]
    sizes = [8 * values.dtype.itemsize] * bands if bits is None else [bits]
    body, offsets = b"", []
    header = 16 if big else 8
    for strip in strips:
        body += bytes(-len(body) % 8)
        offsets.append(header + len(body))
        body += strip
    long = 16 if big else 4
    entries: dict[int, tuple[int, tuple[int, ...]]] = {
        256: (3, (values.shape[1],)),
        257: (3, (values.shape[0],)),
        258: (3, tuple(sizes)),
        259: (3, (1,)),
        262: (3, (photometric,)),
        273: (long, tuple(offsets)),
        277: (3, (bands,)),
        278: (3, (values.shape[0],)),
        279: (long, tuple(len(strip) for strip in strips)),
        284: (3, (2 if planar else 1,)),
        339: (3, (kind,) * bands),
    }
    for name, value in tags.items():
        if value is None:
            del entries[int(name[1:])]
        else:
            entries[int(name[1:])] = (3, tuple(value))
    return _assembled(body, entries, order, big)


def _assembled(body: bytes, entries: dict[int, tuple[int, tuple[int, ...]]], order: str, big: bool) -> bytes:
    place, room = ("Q", 8) if big else ("I", 4)
    header = 16 if big else 8
    directory = []
    for tag, (kind, numbers) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}{_FORMS[kind]}", *numbers)
        if len(packed) > room:
            body += bytes(-len(body) % 8)
            body, packed = body + packed, struct.pack(order + place, header + len(body))
        directory.append(struct.pack(f"{order}HH{place}", tag, kind, len(numbers)) + packed.ljust(room, b"\0"))
    body += bytes(-len(body) % 8)
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    magic += struct.pack(order + "HH", 8, 0) if big else b""
    count = struct.pack(order + ("Q" if big else "H"), len(directory))
    return magic + struct.pack(order + place, header + len(body)) + body + count + b"".join(directory) + bytes(room)
