"""What a file is worth: its digest, and its size beside the expected one."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from darknet_py.errors import DownloadError
from darknet_py.filekind import HEAD_BYTES, what_it_is
from darknet_py.models.registry import RemoteFile

__all__ = ["check_file", "record_digest", "sha256", "sizes_text"]

log = logging.getLogger(__name__)

_WORTH_RECORDING = 1 << 20


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def record_digest(path: Path, digest: str) -> None:
    """Keep the digest beside the file, as ``sha256sum`` writes it: nobody needs to read 250 MB again to know it.

    It holds as long as the file has the time of last change that its record has. There is none for small files, nor
    where nothing can be written.
    """
    record = _record(path)
    with suppress(OSError):
        if path.stat().st_size < _WORTH_RECORDING:
            return
        record.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
        changed = path.stat().st_mtime_ns
        os.utime(record, ns=(changed, changed))


def _recorded(path: Path) -> str | None:
    record = _record(path)
    try:
        if record.stat().st_mtime_ns != path.stat().st_mtime_ns:
            return None
        found = re.match(r"([0-9a-f]{64}) ", record.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return found[1] if found else None


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_file(path: Path, file: RemoteFile, sizes: Collection[int], advice: str) -> str | None:
    """See that a file that lies here is the one it should be, before it is used.

    A wrong size is an error. Another digest than the known ones is a warning: files are saved anew, and a re-saved one
    works as well; but nobody should use it without knowing.

    Parameters
    ----------
    path : Path
    file : RemoteFile
        Its digests are compared where there are any.
    sizes : collection of int
        In bytes; none if any will do.
    advice : str
        What to do about a wrong file, for the message.

    Returns
    -------
    str or None
        The digest, where it is known or was needed.

    Raises
    ------
    DownloadError
        The file cannot be read, or has another size.
    """
    try:
        with path.open("rb") as opened:
            what = what_it_is(opened.read(HEAD_BYTES))
        size = path.stat().st_size
        if what or (sizes and size not in sizes):
            expected = f", expected {sizes_text(sizes)}" if sizes else ""
            raise DownloadError(f"{path}: {what or 'another file'}, {size:,} bytes{expected}: {advice}")
        digest = _recorded(path)
        if digest is None and file.digests:
            digest = sha256(path)
            record_digest(path, digest)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read ({error.strerror or error}): {advice}") from error
    if file.digests and digest not in file.digests:
        note = f" ({file.digest_note})" if file.digest_note else ""
        log.warning(
            "%s: SHA-256 %s, known is %s%s: the size is right, so it may be another saving of the same network, "
            "or a file that was tampered with",
            path,
            digest,
            " or ".join(file.digests),
            note,
        )
    return digest


def sizes_text(sizes: Collection[int]) -> str:
    """The sizes for a message."""
    return " or ".join(f"{size:,}" for size in sorted(sizes, reverse=True)) + " bytes"
