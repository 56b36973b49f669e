"""Where a training stands, on disk: written whole or not at all, so that a stopped training can always go on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from darknet_py.errors import DarknetError

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]


class CheckpointError(DarknetError):
    """A checkpoint that cannot be read, or that belongs to another training."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` to `path`, replacing what is there only once all of it is on the disk."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        torch.save(state, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Read the state that `save_checkpoint` wrote.

    Parameters
    ----------
    path : Path
    identity : dict
        What the training to go on with is made of (cfg text, seed, ...); the state's ``identity`` must be equal.

    Raises
    ------
    CheckpointError
        The file is damaged, or of another training.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        found = state["identity"]
    except Exception as error:  # torch raises whatever its zip reader, its unpickler and the system raise
        raise CheckpointError(f"{path}: not a checkpoint of this trainer ({error}); remove it to start anew") from error
    changed = sorted(key for key in identity if found.get(key) != identity[key])
    if changed:
        raise CheckpointError(
            f"{path}: belongs to a training with another {', '.join(changed)}; "
            "give another output folder, or remove the file to start anew"
        )
    return state
