"""Models by name: the cfg, weights and names of one, from the package, the user's folder of models, or the network.

In front of the flow: `Detector.from_name` and ``--model`` ask `find_model`, ``darknet-py download`` asks `fetch_model`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from darknet_py.errors import CfgError, DownloadError, OptionError
from darknet_py.graph import load_graph
from darknet_py.models.download import Order, checked_url, download_file, how_to_get, part_size
from darknet_py.models.patience import Listener, Patience
from darknet_py.models.registry import Address, KnownModel, RemoteFile, known_model
from darknet_py.models.verification import check_file
from darknet_py.shipped import BUILT_IN, resolve_model, shipped
from darknet_py.weights import HEADER_BYTES, WeightsFile, expected_bytes

__all__ = ["ModelFiles", "State", "fetch_model", "find_model", "is_offline", "model_state", "models_folder"]

#: Of the first versions, whose count of images has 32 bits.
_OLD_HEADER_BYTES = 16


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model; `names` is None where they are found as for any cfg."""

    cfg: Path
    weights: Path
    names: Path | None = None


@dataclass(frozen=True)
class State:
    """What of a model is here.

    Attributes
    ----------
    here : bool
        All that it needs, of the right size.
    part : float
        The share of the weights that an unfinished download has brought.
    bytes : int, optional
        Of the weights; None if it takes the model's cfg to know it.
    """

    here: bool
    part: float
    bytes: int | None


def models_folder() -> Path:
    """Where downloaded models are kept: ``DARKNET_PY_MODELS_DIR``, else in the user's cache directory.

    Raises
    ------
    OptionError
        The system does not say where the user's files are.
    """
    chosen = os.environ.get("DARKNET_PY_MODELS_DIR")
    try:
        if chosen:
            return Path(chosen).expanduser()
        if sys.platform == "win32":
            cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            cache = Path.home() / "Library" / "Caches"
        else:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise OptionError(f"no home directory ({error}): set DARKNET_PY_MODELS_DIR to a folder for models") from error
    return cache / "darknet-py" / "models"


def is_offline() -> bool:
    """Whether ``DARKNET_PY_OFFLINE`` forbids downloads: it is set to anything but 0."""
    return os.environ.get("DARKNET_PY_OFFLINE", "0") not in ("", "0")


def find_model(
    name: str, *, download: bool = True, patience: Patience | None = None, listener: Listener | None = None
) -> ModelFiles:
    """The files of a model: those that ship, those in `models_folder`, or downloaded to it now.

    Parameters
    ----------
    name : str
        "yolov4-tiny", ...; see ``darknet-py download --list``.
    download : bool
        Whether what is missing may be downloaded; never if ``DARKNET_PY_OFFLINE`` is set.
    patience : Patience, optional
        With servers.
    listener : Listener, optional
        Told how a download goes.

    Raises
    ------
    OptionError
        No such model.
    DownloadError
        It is not here, and was not to be downloaded or could not be; or what is here is another file.
    """
    if name.lower() == BUILT_IN:
        return ModelFiles(*resolve_model())
    model, folder = known_model(name), models_folder()
    if _is_here(model, folder):
        return _checked(model, folder)
    if download and not is_offline():
        return fetch_model(name, patience=patience, listener=listener)
    missing = next(file for file in model.files if not (folder / file.name).is_file())
    ways = how_to_get(_order(model, missing, folder, missing.addresses))
    raise DownloadError(
        f"{model.name}: {missing.name} is not here and downloading is switched off. Where there is a network, "
        f"darknet-py download {model.name} gets it. {ways}"
    )


def fetch_model(
    name: str,
    *,
    folder: Path | None = None,
    urls: Sequence[str] = (),
    force: bool = False,
    patience: Patience | None = None,
    listener: Listener | None = None,
) -> ModelFiles:
    """Download what is missing of a model, verify all of it, and say where it is.

    Parameters
    ----------
    name : str
    folder : Path, optional
        Instead of `models_folder`.
    urls : sequence of str
        Of the weights, or of a folder (with a slash at its end), instead of the known addresses; in this order. The
        model's other files are looked for beside them.
    force : bool
        Download even what is here.
    patience, listener
        As for `find_model`.

    Raises
    ------
    OptionError
        No such model, or no such address can be.
    DownloadError
    """
    if name.lower() == BUILT_IN:
        return ModelFiles(*resolve_model())
    model = known_model(name)
    bases = [checked_url(url) for url in urls]
    folder = models_folder() if folder is None else folder
    for file in model.files:
        addresses = tuple(_beside(base, file, model) for base in bases) or file.addresses
        order = _order(model, file, folder, addresses)
        if force or not order.target.exists():
            if is_offline():
                raise DownloadError(
                    f"{model.name}: the environment variable DARKNET_PY_OFFLINE forbids downloads. {how_to_get(order)}"
                )
            download_file(order, force=force, patience=patience, listener=listener or Listener())
    return _checked(model, folder)


def model_state(model: KnownModel, folder: Path) -> State:
    """What of a model is in `folder`, by names and sizes; reads no weights."""
    sizes = _sizes(model, folder)
    size = max(sizes, default=None)
    weights = folder / model.weights.name
    here = _is_here(model, folder) and weights.stat().st_size in sizes
    return State(here, part_size(folder, model.weights.name) / size if size else 0.0, size)


def _is_here(model: KnownModel, folder: Path) -> bool:
    """Whether all that a model needs lies in `folder`; where its names are missing, the shipped ones do."""
    return all((folder / file.name).is_file() for file in (model.weights, model.cfg) if file is not None)


def _checked(model: KnownModel, folder: Path) -> ModelFiles:
    advice = f"remove it, or get it anew with darknet-py download --force {model.name}"
    cfg = _cfg(model, folder)
    if model.cfg is not None:
        check_file(cfg, model.cfg, (), advice)
    check_file(folder / model.weights.name, model.weights, _sizes(model, folder), advice)
    names = None if model.names is None else folder / model.names.name
    return ModelFiles(cfg, folder / model.weights.name, names if names is not None and names.is_file() else None)


def _cfg(model: KnownModel, folder: Path) -> Path:
    if model.cfg is not None:
        return folder / model.cfg.name
    found = shipped(f"{model.name}.cfg")
    if found is None:
        raise CfgError(f"{model.name}.cfg: not in this installation: install darknet-py again")
    return found


def _sizes(model: KnownModel, folder: Path) -> tuple[int, ...]:
    """Bytes the weights may have: those known, else what the cfg describes, with either header; none without one."""
    if model.weights.bytes is not None:
        return (model.weights.bytes,)
    cfg = _cfg(model, folder)
    if not cfg.is_file():
        return ()
    graph = load_graph(cfg)
    return expected_bytes(graph, HEADER_BYTES), expected_bytes(graph, _OLD_HEADER_BYTES)


def _order(model: KnownModel, file: RemoteFile, folder: Path, addresses: tuple[Address, ...]) -> Order:
    def fits(part: Path) -> None:
        WeightsFile(part, load_graph(_cfg(model, folder))).close()

    def parses(part: Path) -> None:
        if file is model.cfg:
            load_graph(part)

    is_weights = file is model.weights
    sizes = _sizes(model, folder) if is_weights else ()
    return Order(file, folder, sizes, addresses, fits if is_weights else parses)


def _beside(base: str, file: RemoteFile, model: KnownModel) -> Address:
    is_folder = base.endswith("/")
    return Address(base if file is model.weights and not is_folder else urljoin(base, file.name))
