"""A published file → its place in a folder: addresses in order, size and digest, other processes, an atomic rename.

Above `transfer`, which brings bytes from one address; below `models`, which knows what files a model has.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from darknet_py.errors import DarknetError, DownloadError, OptionError
from darknet_py.files import move_whole
from darknet_py.models.filelock import FileLock, NoLocks
from darknet_py.models.partfile import Part
from darknet_py.models.patience import Listener, Patience, Refused
from darknet_py.models.registry import Address, RemoteFile
from darknet_py.models.verification import record_digest, sha256, sizes_text

__all__ = ["Order", "checked_url", "download_file", "how_to_get", "part_size"]

log = logging.getLogger(__name__)

_POLL = 0.2


@dataclass(frozen=True)
class Order:
    """A file that is to be brought, and what is asked of it.

    Attributes
    ----------
    file : RemoteFile
    folder : Path
        Where it is to lie; made if need be.
    sizes : tuple of int
        Bytes it may have; none if that is not known.
    addresses : tuple of Address
        Where to look, in this order.
    check : callable
        Looks at the finished part file and raises a DarknetError if something is wrong with it.
    """

    file: RemoteFile
    folder: Path
    sizes: tuple[int, ...]
    addresses: tuple[Address, ...]
    check: Callable[[Path], None]

    @property
    def target(self) -> Path:
        return self.folder / self.file.name


def download_file(order: Order, *, force: bool = False, patience: Patience | None = None, listener: Listener) -> None:
    """Bring a file to its place.

    Safe with several processes at once: one downloads, others wait for it and find the file there. What was there stays
    until the new file is complete and verified.

    Parameters
    ----------
    order : Order
    force : bool
        Even if the file is there.
    patience : Patience, optional
    listener : Listener

    Raises
    ------
    DownloadError
        No address gave the file, or it cannot be written; what came so far is kept for the next time.
    """
    patience = patience or Patience()
    with _part_of_ones_own(order, patience, listener) as part:
        if order.target.exists() and not force:
            return
        failures: list[str] = []
        for address in order.addresses:
            log.info("%s: asking %s", order.file.name, address.url)
            try:
                digest = _bring(order, address, part, patience, listener)
            except Refused as error:
                note = f"; this address {address.note}" if address.note else ""
                log.info("%s: %s: %s", order.file.name, address.url, error)
                failures.append(f"{address.url}: {error}{note}")
                listener.failed(order.file.name, address.url, str(error))
                continue
            _put(part, order.target, digest)
            log.info("%s: complete, SHA-256 %s", order.target, digest)
            listener.finished(order.target, digest)
            return
        kept = part.remains()
    tried = "; ".join(failures) or "no address is known"
    raise DownloadError(f"{order.file.name} could not be downloaded: {tried}{kept}. {_by_hand(order)}")


def checked_url(text: str) -> str:
    """An http or https address as it can be sent, with spaces and letters outside ASCII escaped.

    Raises
    ------
    OptionError
        It is no such address.
    """
    try:
        parts = urlsplit(text)
        host = parts.hostname
        parts.port  # noqa: B018 (its check)
    except ValueError as error:
        raise OptionError(f"{text}: not an address ({error})") from error
    if parts.scheme.lower() not in ("http", "https") or not host or not host.isascii():
        raise OptionError(f"{text}: expected an address that begins with http:// or https:// and a host")
    return quote(text, safe="%/:=&?~#+!$,;'@()*[]")


def _bring(order: Order, address: Address, part: Part, patience: Patience, listener: Listener) -> str:
    """Have a part file that is all there and verified; its digest."""
    # urllib brings http and ssl with it: who has the model already does not wait for those.
    from darknet_py.models.transfer import Transfer

    digests = order.file.digests
    transfer = Transfer(
        order.file.name,
        checked_url(address.url),
        part,
        order.sizes,
        has_digest=bool(digests),
        patience=patience,
        listener=listener,
    )
    pieced = transfer.run()
    digest, wrong = _verify(order, address, part)
    if pieced and (wrong or (digests and digest not in digests)):
        # The pieces may be of two files, or the first one damaged: only the whole from one answer tells.
        log.info("%s: the continued download is not the known file; once more from its start", order.file.name)
        part.discard()
        transfer.run()
        digest, wrong = _verify(order, address, part)
    if wrong:
        part.discard()
        raise Refused(wrong)
    return digest


def _verify(order: Order, address: Address, part: Part) -> tuple[str, str]:
    """The digest of the part file, and what speaks against using it; empty if nothing does."""
    try:
        digest = sha256(part.path)
    except OSError as error:
        raise DownloadError(f"{part.path}: cannot be read ({error.strerror or error})") from error
    digests = order.file.digests
    # Weights of the right size may be another saving of the network. Without a size only the digest can tell.
    if digests and digest not in digests and (address.untried or not order.sizes):
        return digest, f"gives another file: SHA-256 {digest}, expected {' or '.join(digests)}"
    try:
        order.check(part.path)
    except DarknetError as error:
        return digest, f"gives another file: {error}"
    return digest, ""


def _put(part: Part, target: Path, digest: str) -> None:
    """Move the part file to its place, where it is either whole or not at all, even after a power cut."""
    try:
        move_whole(part.path, target)
    except OSError as error:
        raise DownloadError(f"{target}: cannot be written ({error.strerror or error})") from error
    part.forget_origin()
    record_digest(target, digest)


def how_to_get(order: Order) -> str:
    """Where the file is and where to put it, for somebody who gets it by other means."""
    living = [address.url for address in order.addresses if not address.note]
    urls = living or [f"{address.url} (which {address.note})" for address in order.addresses]
    return (f"Its address is {' or '.join(urls)}. " if urls else "No address of it is known. ") + _by_hand(order)


def _by_hand(order: Order) -> str:
    facts = [sizes_text(order.sizes)] if order.sizes else []
    facts += [f"SHA-256 {' or '.join(order.file.digests)}"] if order.file.digests else []
    about = f" ({', '.join(facts)})" if facts else ""
    return f"Got by other means, the file{about} belongs at {order.target}"


# Processes side by side ---------------------------------------------------------------------------------------


def part_size(folder: Path, name: str) -> int:
    """Bytes of an unfinished download in `folder`; 0 if there is none."""
    return _part(folder, name).size()


def _part(folder: Path, name: str) -> Part:
    return Part(folder / f"{name}.part")


@contextmanager
def _part_of_ones_own(order: Order, patience: Patience, listener: Listener) -> Iterator[Part]:
    """A part file that no other process writes to while the block runs.

    Under a lock it is the one that a later run continues. Where the file system has no locks, or who holds it does
    nothing any more, it is one for this process alone, which is not kept.
    """
    folder, name = order.folder, order.file.name
    lock = FileLock(folder / f".{name}.lock")
    try:
        if _wait_for(lock, order, patience, listener):
            yield _part(folder, name)
            return
    finally:
        lock.release()
    listener.alone(name)
    alone = Part(folder / f"{name}.{os.getpid()}-{secrets.token_hex(4)}.part", kept=False)
    try:
        yield alone
    finally:
        alone.discard()


def _wait_for(lock: FileLock, order: Order, patience: Patience, listener: Listener) -> bool:
    """Take the lock, as soon as who holds it is done; False if there is no getting it."""
    part = _part(order.folder, order.file.name)
    seen, since, told = part.size(), time.monotonic(), False
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
        while not lock.acquire():
            if not told:
                listener.waiting(order.file.name)
                told = True
            now, size = time.monotonic(), part.size()
            if size != seen:
                seen, since = size, now
            # Longer than a process of our own patience stands still: it is stopped, or on a machine that is gone.
            elif now - since > (patience.timeout + patience.pause) * (patience.attempts + 1):
                return False
            time.sleep(min(_POLL, patience.timeout))
    except NoLocks:
        return False
    except OSError as error:
        raise DownloadError(
            f"{order.folder}: cannot be written to ({error.strerror or error}): choose another folder for models "
            "with --dir or the environment variable DARKNET_PY_MODELS_DIR"
        ) from error
    return True
