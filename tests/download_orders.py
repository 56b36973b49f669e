"""What tests of downloads order from a server of their own, and what they ask of the outcome."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from file_server import FileServer

from darknet_py import DownloadError
from darknet_py.models.download import Order, download_file
from darknet_py.models.patience import Listener, Patience
from darknet_py.models.registry import Address, RemoteFile

CONTENT = np.random.default_rng(7).bytes(700_000)
OTHER = np.random.default_rng(8).bytes(700_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(timeout=0.4, attempts=3, pause=0.01)
NAME = "some.weights"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Not &amp; found\n here</title></head><body></body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 257717640\n"


class Log(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def waiting(self, name: str) -> None:
        self.events.append("waiting")

    def alone(self, name: str) -> None:
        self.events.append("alone")

    def started(self, name: str, url: str, done: int, total: int | None) -> None:
        self.events.append(f"started {done} {total}")

    def failed(self, name: str, url: str, reason: str) -> None:
        self.events.append(f"failed {reason}")

    def finished(self, path: Path, digest: str) -> None:
        self.events.append(f"finished {digest[:8]}")


def make_order(
    server: FileServer,
    folder: Path,
    *paths: str,
    digests: tuple[str, ...] = (DIGEST,),
    sizes: tuple[int, ...] = (len(CONTENT),),
    **of_address: Any,
) -> Order:
    """An order for CONTENT from paths of the server, its digest known unless said otherwise."""
    urls = [path if "://" in path else server.url + path for path in paths]
    addresses = tuple(Address(url, **of_address) for url in urls)
    return Order(RemoteFile(NAME, digests=digests), folder, sizes, addresses, lambda _: None)


def fetch(order: Order, **options: Any) -> list[str]:
    """The events of a download that brings CONTENT, and leaves nothing else behind."""
    log = Log()
    download_file(order, patience=QUICK, listener=log, **options)
    assert order.target.read_bytes() == CONTENT
    assert {file.name for file in order.folder.iterdir()} == {NAME}
    return log.events


def fail(order: Order) -> str:
    """The message; nothing has come to the target's place."""
    with pytest.raises(DownloadError) as caught:
        download_file(order, patience=QUICK, listener=Log())
    assert not order.target.exists()
    assert str(order.target) in str(caught.value) or str(order.folder) in str(caught.value)
    return str(caught.value)
