"""The model definitions and names that come with the package, found from a checkout and from an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from darknet_py.errors import CfgError

__all__ = ["resolve_cfg", "shipped", "shipped_models"]

_PACKAGE = Path(__file__).parent


def _folder(kind: str) -> Path:
    """Where files of a kind ("cfg" or "weights") lie.

    An installed package has them as its data, and nothing of ours beside it: a folder ``cfg`` in site-packages
    would be somebody else's. In a checkout they are at the top.
    """
    data = _PACKAGE / "data"
    return (data if data.is_dir() else _PACKAGE.parent) / kind


def shipped(name: str) -> Path | None:
    """Path of a shipped file by its bare name ("yolov4.cfg", "coco.names", "x.weights"), None if there is none."""
    if Path(name).name != name:
        return None
    file = _folder("weights" if name.endswith(".weights") else "cfg") / name
    return file if file.is_file() else None


def shipped_models() -> tuple[str, ...]:
    """Names of the shipped models ("yolov4", ...), sorted."""
    return tuple(sorted(file.stem for file in _folder("cfg").glob("*.cfg")))


def resolve_cfg(text: str | os.PathLike[str]) -> Path:
    """The cfg file meant by a path or by the name of a shipped model.

    Parameters
    ----------
    text : str or PathLike
        A file, or a name with or without ``.cfg`` ("yolov4", "yolov4.cfg"). A file of that name comes first.

    Raises
    ------
    CfgError
        Neither a file nor a shipped model; lists the models.
    """
    path = Path(text)
    if path.is_file():
        return path
    name = os.fspath(text)
    found = shipped(name if name.endswith(".cfg") else f"{name}.cfg")
    if found is not None:
        return found
    what = "a directory" if path.is_dir() else "no such file"
    models = ", ".join(shipped_models()) or "none"
    raise CfgError(f"{name}: {what}, expected a .cfg file or the name of a shipped model ({models})")
