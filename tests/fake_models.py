"""A model that is known by name only while a test runs: the tiny one, on the test's own server."""

from __future__ import annotations

import hashlib

from command_line import CFG, weights_bytes
from file_server import FileServer, ranged

from darknet_py.models.registry import Address, KnownModel, RemoteFile

NAMES = "cat\ndog\nowl\n"
FILES = {"tiny.cfg": CFG.encode(), "tiny.names": NAMES.encode(), "tiny.weights": weights_bytes()}

#: Makes a process of its own know the model too; to be followed by the command line's arguments.
PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from fake_models import tiny
from darknet_py.models import registry
registry.MODELS["tiny"] = tiny({url!r})
from darknet_py.cli.main import main
main()
"""


def tiny(url: str) -> KnownModel:
    """The model, its files at `url`."""

    def file(name: str, *, sized: bool = False) -> RemoteFile:
        content = FILES[name]
        digest = hashlib.sha256(content).hexdigest()
        return RemoteFile(name, (Address(f"{url}/{name}"),), (digest,), len(content) if sized else None)

    return KnownModel("tiny", "for tests", file("tiny.weights", sized=True), file("tiny.cfg"), file("tiny.names"))


def offer(server: FileServer) -> None:
    """Have the server give the files."""
    server.answers |= {f"/{name}": ranged(content) for name, content in FILES.items()}
