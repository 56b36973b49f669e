"""TIFFs by Pillow: of the tags that say where the pixels are and what they mean, in a directory written anew.

So Pillow has nothing to warn of, and what it is known to read wrongly never reaches it as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from darknet_py.errors import ImageError
from darknet_py.pictures.containers.filebytes import Bytes
from darknet_py.pictures.containers.libtiff import heard
from darknet_py.pictures.containers.orientation import upright
from darknet_py.pictures.containers.pillow import pixels_of_pil, read_format
from darknet_py.pictures.containers.refusals import check_size, damaged, no_fourth, unread

__all__ = ["Directory", "check_directory", "longs", "read_directory", "read_tiff", "rewritten"]

Pixels = npt.NDArray[np.uint8]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _COUNTS, _PLANAR = 273, 274, 277, 279, 284
_TILES, _TILE_COUNTS, _EXTRA, _FORMAT, _SUBSAMPLING = 324, 325, 338, 339, 530
_SUBFILE, _SUBIFDS, _DNG = 254, 330, 50706

#: What Pillow gets: size, layout, compression with its tables, colours.
_OF_PIXELS = frozenset({
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _STRIPS, _SAMPLES, 278, _COUNTS, _PLANAR, 292, 293, 317,
    320, 322, 323, _TILES, _TILE_COUNTS, _EXTRA, _FORMAT, 347, 512, 513, 514, 515, 517, 519, 520, 521, 529,
    _SUBSAMPLING, 531, 532,
})  # fmt: skip

#: Of these one value is meant, and some writers give several.
_SINGLE = frozenset({
    _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, 266, _SAMPLES, 278, _PLANAR, 292, 293, 317, 322, 323,
    512, 513, 514, 515,
})  # fmt: skip

#: Looked at here alone.
_OTHER_TAGS = frozenset({_SUBFILE, _ORIENTATION, _SUBIFDS, _DNG})

#: TIFF's types of integers that these tags have.
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

_COMPRESSIONS = {
    1: "none", 2: "CCITT RLE", 3: "CCITT T.4", 4: "CCITT T.6", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "Deflate",
    32773: "PackBits", 32946: "Deflate", 34925: "LZMA", 50000: "Zstandard",
}  # fmt: skip
_OTHERS = {
    32771: "CCITT RLEW", 32809: "ThunderScan", 33003: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG",
    34712: "JPEG 2000", 34887: "LERC", 50001: "WebP", 50002: "JPEG XL", 22610: "JPEG XR",
}  # fmt: skip

#: Samples that make the colour; what is beyond them is alpha, or unsaid.
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}

_TO_BYTES = "scale it to 0..255 and save it with 8 bits"


class Directory(NamedTuple):
    """The first directory: the tags of its pixels as (type, bytes of the values), and of integers the values."""

    order: str
    names: frozenset[int]
    entries: dict[int, tuple[int, bytes]]
    values: dict[int, tuple[int, ...]]

    def one(self, tag: int, default: int) -> int:
        return (self.values.get(tag) or (default,))[0]


def read_tiff(data: bytes, where: str, *, alpha: bool = False) -> Pixels | None:
    """Decode the first picture to (H, W, 3) RGB, or (H, W, 4) with `alpha`, upright.

    Returns
    -------
    ndarray or None
        None for the one kind that Pillow reads wrongly and OpenCV rightly: YCbCr with halved colours, uncompressed.

    Raises
    ------
    ImageError
        Naming `where` and the cause.
    """
    try:
        directory = read_directory(data)
    except (struct.error, IndexError, MemoryError, OverflowError):  # of a BigTIFF's 64 bits of position
        raise damaged(where, "its directory of tags lies beyond its end", len(data)) from None
    if len(data) >= 1 << 32:  # beyond what an ordinary directory can point at
        raise unread(where, "TIFF of 4 GB or more", "scale it down or cut it into tiles")
    check_directory(directory, where, len(data))
    if _is_subsampled(directory):
        return None
    with heard(where):
        if _is_in_deep_planes(directory):
            if alpha and _samples(directory) < 4:
                raise no_fourth(where)
            planes = _planes(data, directory, 4 if alpha else 3)
            pixels = np.dstack([_read(plane, where)[..., 0] for plane in planes])
        else:
            pixels = _read(_plain(data, directory), where, directory, alpha)
    return upright(pixels, directory.one(_ORIENTATION, 1))


def read_directory(data: Bytes) -> Directory:
    """The first directory of a file; of its bytes no more are read.

    Raises
    ------
    struct.error, IndexError
        It lies beyond the end.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    size, form, inline, place, number = (20, "HHQ", 8, "Q", "Q") if big else (12, "HHI", 4, "I", "H")
    (at,) = struct.unpack(order + place, data[8:16] if big else data[4:8])
    at += 8 if big else 2
    (count,) = struct.unpack(order + number, data[at - (8 if big else 2) : at])
    if count * size > len(data):
        raise IndexError
    table = data[at : at + size * count]
    names: set[int] = set()
    entries: dict[int, tuple[int, bytes]] = {}
    values: dict[int, tuple[int, ...]] = {}
    for begin in range(0, size * count, size):
        tag, kind, length = struct.unpack_from(order + form, table, begin)
        if tag in names or tag not in _OF_PIXELS | _OTHER_TAGS:
            continue
        names.add(tag)
        first, room = begin + size - inline, length * _SIZES.get(kind, 1)
        packed = table[first : first + room]
        if room > inline:
            (first,) = struct.unpack_from(order + place, table, first)
            packed = data[first : first + room]
        if len(packed) < room:
            if tag in _OF_PIXELS:
                raise IndexError
            continue
        if kind in _INTEGERS:
            values[tag] = struct.unpack(f"{order}{length}{_INTEGERS[kind]}", packed)
        if tag in _OF_PIXELS and length:
            entries[tag] = (kind, packed)
    return Directory(order, frozenset(names), entries, values)


# What is read, and what is not ---------------------------------------------------------------------------------


def check_directory(tags: Directory, where: str, size: int, limit: str = "max_pixels") -> None:
    """Refuse what is not read; `limit` is the one of `Limits` that bounds the picture."""
    if _WIDTH not in tags.values or _HEIGHT not in tags.values:
        raise damaged(where, "a TIFF without a width and a height", size)
    check_size(tags.one(_WIDTH, 0), tags.one(_HEIGHT, 0), where, limit)
    photometric, compression = tags.one(_PHOTOMETRIC, 0), tags.one(_COMPRESSION, 1)
    if _DNG in tags.names or photometric == 32803 or (tags.one(_SUBFILE, 0) & 1 and _SUBIFDS in tags.names):
        # Its first picture is a thumbnail: the boxes would be another picture's.
        raise unread(where, "camera raw (TIFF)", "develop it to JPEG, PNG or TIFF with the camera's program")
    if compression not in _COMPRESSIONS:
        how = _OTHERS.get(compression, f"method {compression}")
        raise unread(where, f"TIFF compressed by {how}", "save it with LZW, Deflate or no compression")
    kinds, bits, count = set(tags.values.get(_FORMAT, (1,))), _bits(tags), _samples(tags)
    if 3 in kinds:
        raise unread(where, f"TIFF of {bits}-bit floats", f"they have no fixed range: {_TO_BYTES}")
    if kinds & {5, 6} or (2 in kinds and count > 1):
        raise unread(where, "TIFF of signed or complex values", f"they have no fixed range: {_TO_BYTES}")
    colours = _COLOURS.get(photometric)
    if colours is None:
        raise unread(where, f"TIFF of the colours {photometric}", "convert it to RGB")
    if count < colours or count > colours + (1 if colours == 1 else 3):
        raise unread(where, f"TIFF of {count} bands", "pick three of them as RGB, with 8 bits each")


def _bits(tags: Directory) -> int:
    return tags.one(_BITS, 1)


def _samples(tags: Directory) -> int:
    count = tags.one(_SAMPLES, 0)
    return count or (3 if tags.one(_COMPRESSION, 1) == 6 else len(tags.values.get(_BITS, (1,))))


def _is_subsampled(tags: Directory) -> bool:
    return (
        tags.one(_PHOTOMETRIC, 0) == 6
        and tags.one(_COMPRESSION, 1) == 1
        and tags.values.get(_SUBSAMPLING, (2, 2)) != (1, 1)
    )


def _is_in_deep_planes(tags: Directory) -> bool:
    """16-bit colours one after the other, which Pillow takes for 8-bit ones."""
    return tags.one(_PLANAR, 1) == 2 and _bits(tags) == 16 and tags.one(_PHOTOMETRIC, 0) == 2


# What Pillow gets ----------------------------------------------------------------------------------------------


def _read(data: bytes, where: str, tags: Directory | None = None, alpha: bool = False) -> Pixels:
    try:
        image = read_format(data, "TIFF")
        # Allocated here, as Pillow would warn of its own limit before it does.
        image.im = Image.new(image.mode, getattr(image, "_tile_size", image.size)).im
        image.load()
    except (MemoryError, ImageError):
        raise
    except SyntaxError as error:  # "unknown pixel mode": whole, as far as the tags go
        if tags is None:
            raise damaged(where, error, len(data)) from error
        how = _COMPRESSIONS[tags.one(_COMPRESSION, 1)]
        what = f"TIFF of {_samples(tags)} x {_bits(tags)} bits, colours {tags.one(_PHOTOMETRIC, 0)}, compression {how}"
        raise unread(where, what, "save it as RGB with 8 bits") from error
    except Exception as error:
        raise damaged(where, error, len(data)) from error
    if tags is not None and image.mode.startswith("I;16"):
        image = _in_sixteen_bits(image, tags)
    pixels = pixels_of_pil(image, where, alpha=alpha)
    if tags is not None and 2 in tags.values.get(_FORMAT, ()) and _bits(tags) == 8 and pixels.max() > 127:
        raise unread(where, "TIFF of signed values", f"they have no fixed range: {_TO_BYTES}")
    return pixels


def _in_sixteen_bits(image: Image.Image, tags: Directory) -> Image.Image:
    """Grey of more than 8 bits, white being the most and the most being 65535."""
    values: npt.NDArray[np.integer[Any]] = np.asarray(image).astype(np.uint16)
    bits = _bits(tags)
    if bits < 16:
        values = (values << (16 - bits)) | (values >> (2 * bits - 16))
    return Image.fromarray(65535 - values if tags.one(_PHOTOMETRIC, 0) == 0 else values)


def _plain(data: bytes, tags: Directory) -> bytes:
    """The file with its directory written anew, behind all else."""
    entries = dict(tags.entries)
    for tag, every in tags.values.items():
        if tag in _SINGLE and len(every) > 1:  # Pillow would warn, and take the first
            entries[tag] = longs(tags, every[:1])
    if tags.one(_PHOTOMETRIC, 0) == 0 and _bits(tags) > 8:  # Pillow would not turn it round: `_in_sixteen_bits` does
        entries[_PHOTOMETRIC] = longs(tags, [1])
    return rewritten(data, tags, entries)


def _planes(data: bytes, tags: Directory, count: int) -> Iterator[bytes]:
    """Each of the colours, and of what stands behind them, as a grey TIFF."""
    for plane in range(count):
        entries = {tag: entry for tag, entry in tags.entries.items() if tag not in (_EXTRA, _FORMAT)}
        for tag, value in ((_PHOTOMETRIC, 1), (_SAMPLES, 1), (_PLANAR, 1)):
            entries[tag] = longs(tags, [value])
        entries[_BITS] = (3, struct.pack(tags.order + "H", 16))
        for tag in (_STRIPS, _COUNTS, _TILES, _TILE_COUNTS):
            if tag in tags.values:
                share = len(tags.values[tag]) // _samples(tags)
                entries[tag] = longs(tags, tags.values[tag][plane * share : plane * share + share])
        yield rewritten(data, tags, entries)


def longs(tags: Directory, values: Sequence[int]) -> tuple[int, bytes]:
    return 4, struct.pack(f"{tags.order}{len(values)}I", *values)


def rewritten(data: bytes, tags: Directory, entries: dict[int, tuple[int, bytes]]) -> bytes:
    """An ordinary TIFF, also of a BigTIFF: Pillow cannot read those of big-endian order."""
    body: list[bytes | memoryview] = [data, bytes(-len(data) % 8)]
    directory: list[bytes] = []
    at = sum(map(len, body))
    for tag, (kind, packed) in sorted(entries.items()):
        if kind == 16:
            kind, packed = longs(tags, tags.values[tag])
        directory.append(struct.pack(tags.order + "HHI", tag, kind, len(packed) // _SIZES.get(kind, 1)))
        if len(packed) <= 4:
            directory.append(packed.ljust(4, b"\0"))
            continue
        directory.append(struct.pack(tags.order + "I", at))
        body += [packed, bytes(-len(packed) % 8)]
        at += len(packed) + -len(packed) % 8
    header = (b"II*\0" if tags.order == "<" else b"MM\0*") + struct.pack(tags.order + "I", at)
    body[0] = memoryview(data)[len(header) :]
    return b"".join([header, *body, struct.pack(tags.order + "H", len(directory) // 2), *directory, bytes(4)])
