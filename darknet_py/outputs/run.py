"""What all records of a run have in common: the model, the settings, the program."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from darknet_py.arguments import short
from darknet_py.errors import CfgError, DarknetError, WeightsError
from darknet_py.version import installed_version

__all__ = ["SOFTWARE", "Run", "describe_model", "run_difference"]

SOFTWARE = f"darknet-py {installed_version()}"

_CHUNK = 1 << 20

#: Settings that change how long a record took, and not what is in it.
_OF_NO_CONSEQUENCE = ("threads",)


@dataclass(frozen=True)
class Run:
    """A model and how it is asked.

    Attributes
    ----------
    names : tuple of str
        The name of each class.
    model : mapping
        Which model it is, as plain values (see `describe_model`).
    settings : mapping
        All that results depend on besides model and picture, and what they took time with, as plain values.
    """

    names: tuple[str, ...]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]


def describe_model(
    cfg: str | PathLike[str] | None, weights: str | PathLike[str] | None, names: Sequence[str]
) -> dict[str, Any]:
    """A model's files by name and by SHA-256, which tells it from every other; None for what is in no file.

    Raises
    ------
    CfgError, WeightsError
        A file cannot be read.
    """
    listed = "\n".join(names).encode("utf-8", "surrogatepass")
    return {
        "cfg": None if cfg is None else Path(cfg).name,
        "cfg_sha256": _digest(cfg, CfgError),
        "weights": None if weights is None else Path(weights).name,
        "weights_sha256": _digest(weights, WeightsError),
        "classes": len(names),
        "names_sha256": hashlib.sha256(listed).hexdigest(),
    }


def run_difference(earlier: Mapping[str, Any], common: Mapping[str, Any]) -> str:
    """What two runs do not have in common, in words; empty if their records may stand in one file."""
    for key in sorted({*earlier["settings"], *common["settings"]} - set(_OF_NO_CONSEQUENCE)):
        before, now = earlier["settings"].get(key), common["settings"].get(key)
        if before != now:
            return f"{key} {short(before)}, now {short(now)}"
    for key, what in (("cfg_sha256", "cfg"), ("weights_sha256", "weights"), ("names_sha256", "class names")):
        before, now = earlier["model"].get(key), common["model"].get(key)
        if before != now:
            return f"other {what} (SHA-256 {str(before)[:12]}, now {str(now)[:12]})"
    return ""


def _digest(path: str | PathLike[str] | None, failure: type[DarknetError]) -> str | None:
    if path is None:
        return None
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise failure(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()
