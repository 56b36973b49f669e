"""What comes with the package: model definitions, names, weights, pictures; from a checkout and an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

from darknet_py.arguments import as_path
from darknet_py.errors import CfgError, OptionError, WeightsError
from darknet_py.models.registry import MODELS

__all__ = ["BUILT_IN", "default_looks", "resolve_cfg", "resolve_model", "shipped", "shipped_models", "shipped_pictures"]

#: The model that is used when none is named.
BUILT_IN = "yolov4-codes"

#: How pictures are shown to it: as a whole alone it misses every tenth barcode, in a frame alone small codes
#: (docs/codes.md).
_BUILT_IN_LOOKS = ("frame", "whole")

_PACKAGE = Path(__file__).parent

#: Kinds whose folder in a checkout is not called like the kind.
_IN_CHECKOUT = {"pictures": "examples/pictures"}


def _folder(kind: str) -> Path:
    """Where files of a kind ("cfg", "weights" or "pictures") lie.

    An installed package has them as its data, and nothing of ours beside it: a folder ``cfg`` in site-packages
    would be somebody else's. In a checkout they are at the top.

    Raises
    ------
    CfgError
        Neither: what collected the package left out its data.
    """
    data = _PACKAGE / "data"
    folder = data / kind if data.is_dir() else _PACKAGE.parent / _IN_CHECKOUT.get(kind, kind)
    if not folder.is_dir():
        raise CfgError(
            f"{data / kind}: no such folder, expected the data of the package: install darknet-py again, or, in a "
            "program that was frozen or zipped, collect them (PyInstaller does by the hook that comes with darknet-py)"
        )
    return folder


def shipped(name: str) -> Path | None:
    """Path of a shipped file by its bare name ("yolov4.cfg", "coco.names", "x.weights"), None if there is none.

    Raises
    ------
    CfgError
        No file of its kind is there.
    """
    if Path(name).name != name:
        return None
    file = _folder("weights" if name.endswith(".weights") else "cfg") / name
    return file if os.path.isfile(file) else None


def shipped_models() -> tuple[str, ...]:
    """Names of the shipped models ("yolov4", ...), sorted."""
    return tuple(sorted(file.stem for file in _folder("cfg").glob("*.cfg")))


def shipped_pictures() -> tuple[Path, ...]:
    """The pictures that come with the built-in model, sorted by name; none if they are not installed."""
    return tuple(sorted(_folder("pictures").glob("*.jpg")))


def resolve_cfg(text: str | os.PathLike[str]) -> Path:
    """The cfg file meant by a path or by the name of a shipped model.

    Parameters
    ----------
    text : str, bytes or PathLike
        A file, or a name with or without ``.cfg`` ("yolov4", "yolov4.cfg"). A file of that name comes first.

    Raises
    ------
    CfgError
        Neither a file nor a shipped model; lists the models.
    OptionError
        Not text at all.
    """
    path = as_path("cfg", text, "the path of a .cfg file, or the name of a shipped model")
    # Whatever can be opened, a pipe too; unlike Path's own questions, these never raise.
    if os.path.exists(path) and not os.path.isdir(path):
        return path
    name = os.fspath(path)
    found = shipped(name if name.endswith(".cfg") else f"{name}.cfg")
    if found is not None:
        return found
    what = "a directory" if os.path.isdir(path) else "no such file"
    models = ", ".join(shipped_models()) or "none"
    known = MODELS.get(name.lower())
    hint = f"; --model {known.name} downloads this one, in Python Detector.from_name({known.name!r})" if known else ""
    raise CfgError(f"{name}: {what}, expected a .cfg file or the name of a shipped model ({models}){hint}")


def resolve_model(cfg: str | os.PathLike[str] | None = None) -> tuple[Path, Path]:
    """The cfg and the weights of a shipped model.

    Parameters
    ----------
    cfg : str or PathLike, optional
        What `resolve_cfg` takes; the built-in model by default.

    Raises
    ------
    CfgError
        Neither a file nor a shipped model.
    OptionError
        No weights ship for this cfg: they must be given.
    WeightsError
        The built-in model's weights are missing from this installation.
    """
    # The built-in model stays what it is where a file happens to have its name.
    path = resolve_cfg(_folder("cfg") / f"{BUILT_IN}.cfg" if cfg is None else cfg)
    weights = _folder("weights") / f"{path.stem}.weights"
    ours = path.absolute() == (_folder("cfg") / path.name).absolute()
    if ours and weights.is_file():
        return path, weights
    if ours and path.stem == BUILT_IN:
        raise WeightsError(f"{weights}: no such file, expected the built-in model's weights: install darknet-py again")
    if ours and path.stem in MODELS:
        name = path.stem
        raise OptionError(
            f"{name}: no weights ship for this model: get them with darknet-py download {name} and use --model {name} "
            f"(in Python Detector.from_name({name!r})), or give the .weights file that belongs to it"
        )
    raise OptionError(f"{cfg}: no weights ship for this model: give the .weights file that belongs to it")


def default_looks(weights: object) -> tuple[str, ...]:
    """How pictures are shown to the model of these weights unless a caller says: those that ship know it best."""
    name = f"{BUILT_IN}.weights"
    if isinstance(weights, str | os.PathLike) and os.path.basename(os.fsdecode(weights)) == name:
        ours = os.path.abspath(_folder("weights") / name)
        return _BUILT_IN_LOOKS if os.path.abspath(os.fsdecode(weights)) == ours else ("whole",)
    return ("whole",)
