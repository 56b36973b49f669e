"""The files of a model, taken along to machines that do not have them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darknet_py.files import write_whole
from darknet_py.ray.installed import need

__all__ = ["CarriedFile", "carry"]


@dataclass(frozen=True)
class CarriedFile:
    """A file of the driver's machine.

    Attributes
    ----------
    path : str
        Where it is there, and need not be elsewhere.
    sha256 : str
    content : ray.ObjectRef
        Its bytes, in the object store: a machine gets them once, for all of its actors, and only if it needs them.
    """

    path: str
    sha256: str
    content: Any

    def here(self) -> str:
        """The path of the same bytes on this machine, written if need be."""
        name = Path(self.path).name
        mine = Path(tempfile.gettempdir(), f"darknet-py-ray-{getattr(os, 'getuid', int)()}", self.sha256[:16], name)
        # By digest alone: another file may be at that path, and a folder for all users is nobody's to trust.
        for path in (Path(self.path), mine):
            if _digest(path) == self.sha256:
                return str(path)
        mine.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(mine, need("ray").get(self.content).tobytes())
        return str(mine)


def carry(value: Any) -> Any:
    """A path as a `CarriedFile`; whatever else, such as a Graph or SeededWeights, as it is."""
    if not isinstance(value, str | os.PathLike):
        return value
    path = os.path.abspath(value)
    data = Path(path).read_bytes()
    # As an array it is read where the object store has it; bytes would be copied for each actor.
    content = need("ray").put(np.frombuffer(data, np.uint8))
    return CarriedFile(path, hashlib.sha256(data).hexdigest(), content)


def _digest(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _slow(file)
    except OSError:
        return ""


def _slow(file: Any) -> str:
    """As `hashlib.file_digest`, of Python 3.11."""
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
