"""Decoders write to no one's stderr: what they say is logged with the file's name, in every thread at once."""

from __future__ import annotations

import io
import logging
import os
import random
import struct
import sys
import tempfile
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from no_cv2 import without_cv2
from PIL import Image
from tiff_files import make_tiff

from darknet_py.errors import ImageError
from darknet_py.image import load_image
from darknet_py.pictures.containers import libtiff

_Y, _X = np.mgrid[:60, :80]
#: Smooth enough for JPEG, with noise for Huffman's and Lempel's codes.
RGB = np.dstack([3 * _X, 4 * _Y, 90 + 0 * _X]) + np.random.default_rng(5).integers(0, 12, (60, 80, 3))
RGB = RGB.astype(np.uint8)


@pytest.fixture(autouse=True, params=["with cv2", "without cv2"])
def opencv(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.param == "with cv2" else without_cv2():
        yield


def encoded(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    try:
        Image.fromarray(RGB).save(stream, kind, **options)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow does not write {kind}: {error}")
    return stream.getvalue()


@contextmanager
def stderr_caught() -> Iterator[Callable[[], bytes]]:
    """All that reaches file descriptor 2, by whatever way."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: _content(file)
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _content(file: Any) -> bytes:
    sys.stderr.flush()
    return os.pread(file.fileno(), 1 << 20, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def oddities() -> dict[str, bytes]:
    """Pictures that are read, about which libjpeg and libpng have something to say."""
    jpeg, png = encoded("JPEG", quality=90), encoded("PNG")
    at, end = jpeg.rfind(b"\xff\xda"), jpeg.rfind(b"\xff\xd9")
    length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
    exif = b"\xff\xe1\0\x14Exif\0\0MM\0*\0\0\0\x08\xff\xff"
    return {
        "Samsung's scan": jpeg[: at + 2 + length - 3] + b"\0\0\0" + jpeg[at + 2 + length :],
        "a webcam's bytes": jpeg[:end] + b"\x12\x34\x56" + jpeg[end:],
        "no end marker": jpeg[:-2],
        "damaged EXIF": jpeg[:2] + exif + jpeg[2:],
        "unknown JFIF version": jpeg[:11] + b"\x07" + jpeg[12:],
        "iCCP": png[:33] + chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(b"junk")) + png[33:],
        "iTXt": png[:33] + chunk(b"iTXt", b"\0\1\1\1") + png[33:],
        "gAMA and sRGB": png[:33] + chunk(b"gAMA", b"\0\0\0\0") + chunk(b"sRGB", b"\x09") + png[33:],
        "acTL": png[:33] + chunk(b"acTL", bytes(8)) + png[33:],
        "no IEND": png[:-12],
        "a wrong checksum": png[:33] + chunk(b"tEXt", b"a\0b")[:-1] + b"\0" + png[33:],
        "tags given twice": make_tiff(RGB, t278=(60, 60, 60), t262=(2, 2), t999=(1,)),
    }


ODDITIES = oddities()


@pytest.mark.parametrize("name", ODDITIES)
def test_odd_files_are_read_in_silence(name: str) -> None:
    with stderr_caught() as said, warnings.catch_warnings():
        warnings.simplefilter("always")
        loaded = load_image(ODDITIES[name])
        assert said() == b""
    assert loaded.shape == RGB.shape
    assert np.abs(loaded - RGB.astype(int)).mean() < 20


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "WEBP", "AVIF", "JPEG2000", "BMP", "PPM", "TGA"])
def test_damaged_files_are_silent(kind: str) -> None:
    variants = [encoded(kind)]
    if kind == "TIFF":
        variants += [encoded(kind, compression=how) for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")]
        stream = io.BytesIO()
        Image.fromarray(RGB).convert("1").save(stream, "TIFF", compression="group4")
        variants.append(stream.getvalue())
    if kind == "TIFF" and not libtiff_is_reachable():
        pytest.skip("this Pillow has libtiff inside: its lines cannot be caught")
    rng = random.Random(3)
    with stderr_caught() as said, warnings.catch_warnings():
        warnings.simplefilter("always")
        for data in variants:
            for n in range(24):
                damaged = bytearray(data if n % 2 else data[: rng.randrange(len(data))])
                for _ in range(rng.choice((1, 4, 40)) if damaged else 0):
                    damaged[rng.randrange(min(len(damaged), rng.choice((60, 500, 10**6))))] = rng.randrange(256)
                try:
                    load_image(bytes(damaged))
                except ImageError:
                    continue
        assert said() == b""


def libtiff_is_reachable() -> bool:
    libtiff._install()
    return bool(libtiff._handlers)


def damaged_lzw() -> bytes:
    data = bytearray(encoded("TIFF", compression="tiff_lzw"))
    data[200:230] = b"\xff" * 30
    return bytes(data)


def test_libtiffs_lines_become_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = damaged_lzw()
    if not libtiff_is_reachable():
        pytest.skip("this Pillow has libtiff inside: its lines cannot be caught")
    (tmp_path / "scan.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"scan\.tif: cut short or damaged"):
        load_image(tmp_path / "scan.tif")
    records = [record.getMessage() for record in caplog.records]
    assert records and all(f"{tmp_path / 'scan.tif'}: libtiff: " in text for text in records)


def test_threads_keep_their_lines_apart_and_others_their_stderr(caplog: pytest.LogCaptureFixture) -> None:
    data = damaged_lzw()
    good = encoded("TIFF", compression="tiff_lzw")
    if not libtiff_is_reachable():
        pytest.skip("this Pillow has libtiff inside: its lines cannot be caught")
    stop = threading.Event()

    def write() -> int:
        count = 0
        while not stop.is_set():
            os.write(2, b"the user's own line\n")
            count += 1
        return count

    def read(number: int) -> str:
        source = io.BytesIO(data if number % 2 else good)
        source.name = f"file {number}"  # type: ignore[attr-defined]
        try:
            load_image(source)
        except ImageError as error:
            return str(error)
        return ""

    with stderr_caught() as said, ThreadPoolExecutor(5) as pool:
        writing = pool.submit(write)
        try:
            results = list(pool.map(read, range(40)))
            # A line of Pillow's own use of libtiff, in the meantime and by the user, goes where it went before.
            with pytest.raises((OSError, SyntaxError)):
                Image.open(io.BytesIO(data)).load()
        finally:
            stop.set()
        count = writing.result()
        text = said()
    assert text.count(b"the user's own line\n") == count
    assert text.replace(b"the user's own line\n", b"").strip()  # what libtiff said to Pillow's user, in pieces
    for number, result in enumerate(results):
        assert bool(result) == bool(number % 2) and (not result or result.startswith(f"file {number}: cut short"))
    named = {record.getMessage().split(":")[0] for record in caplog.records}
    assert named == {f"file {number}" for number in range(1, 40, 2)}


def test_nobody_listens_and_nothing_is_printed() -> None:
    """Without a handler Python itself would print the warning."""
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    with stderr_caught() as said:
        root.handlers[:] = []
        try:
            load_image(encoded("JPEG")[:-2])
        finally:
            root.handlers[:] = handlers
        assert said() == b""
