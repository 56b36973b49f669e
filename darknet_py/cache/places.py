"""Where the cache may lie: the places in their order, and which of them can be read, and written, by this user.

Readable and writable are asked apart. What a container image brought is read where it cannot be written, and what it
lacks is kept in the next place; where there is none, in memory alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from darknet_py.cache.trust import distrust

__all__ = ["Finding", "Layer", "Layers", "Place", "find_layers", "find_places", "survey"]

_VARIABLES = ("DARKNET_PY_CACHE_DIR", "NUMBA_CACHE_DIR")


@dataclass(frozen=True)
class Place:
    """A folder in which the cache may have its own.

    Attributes
    ----------
    parent : Path
    origin : str
        Who says so, for messages.
    named : bool
        An environment variable does.
    is_public : bool
        Everybody may make a folder of that name.
    """

    parent: Path
    origin: str
    named: bool = False
    is_public: bool = False


@dataclass(frozen=True)
class Layer:
    """A folder of the cache that is trusted."""

    folder: Path
    named: bool


@dataclass(frozen=True)
class Finding:
    """What became of a place.

    Attributes
    ----------
    origin : str
    folder : Path, optional
        None if the place itself is not known.
    readable, writable : bool
    reason : str
        Why it is not writable, or not trusted; empty if it is both.
    """

    origin: str
    folder: Path | None
    named: bool
    readable: bool
    writable: bool
    reason: str

    def __str__(self) -> str:
        where = f"{self.origin} ({self.folder})" if self.folder else self.origin
        return f"{where} {self.reason}" if self.reason else where


@dataclass(frozen=True)
class Layers:
    """Folders to read from, in this order, and the one to write to.

    Attributes
    ----------
    readable : tuple of Layer
    writable : Layer, optional
        The last of them; None if nothing can be kept.
    refused : tuple of Finding
        The places before it.
    """

    readable: tuple[Layer, ...]
    writable: Layer | None
    refused: tuple[Finding, ...]


def find_places() -> Iterator[Place | Finding]:
    """The places in their order; a Finding where one is not known. The last ones are not asked for in vain."""
    for variable in _VARIABLES:
        value = os.environ.get(variable)
        if value:
            yield _place(variable, partial(_named, value), named=True)
    yield _place("the user's cache", _users_cache)
    yield _place("the temporary directory", _temporary, is_public=True)


def _place(origin: str, find: Callable[[], Path], named: bool = False, is_public: bool = False) -> Place | Finding:
    try:
        return Place(find(), origin, named, is_public)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        return Finding(origin, None, named, False, False, f"is not known ({_cause(error)})")


def _named(value: str) -> Path:
    return Path(value).expanduser().absolute()


def _users_cache() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else _home() / "AppData" / "Local") / "darknet-py"
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "darknet-py"
    chosen = Path(os.environ.get("XDG_CACHE_HOME") or "").expanduser()
    return (chosen if chosen.is_absolute() else _home() / ".cache") / "darknet-py"


def _home() -> Path:
    """The home of this user, which is not made if there is none: a service's may be called /nonexistent."""
    home = Path.home()
    if not home.is_absolute() or not home.is_dir():
        raise FileNotFoundError(f"no home directory: {home}")
    return home


def _temporary() -> Path:
    """A folder of this user's in the directory for temporary files."""
    found = Path(tempfile.gettempdir())
    usual = {os.path.realpath(os.environ.get(name) or "/tmp") for name in ("TMPDIR", "TEMP", "TMP")}
    if os.path.realpath(found) == os.getcwd() and os.getcwd() not in {*usual, "/var/tmp", "/usr/tmp"}:
        raise FileNotFoundError("no temporary directory")  # Python's last resort is the current one
    usual_name = found / f"darknet-py-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    places = (Place(one, "", is_public=True) for one in (usual_name, *sorted(found.glob(f"{usual_name.name}-*"))))
    return next((place.parent for place in places if not _doubt(place, place.parent)), usual_name)


def find_layers(leaf: str) -> Layers:
    """The folders called `leaf` that can be read, down to the first that can be written, which is made."""
    readable: list[Layer] = []
    refused: list[Finding] = []
    for place in _places_or_made():
        finding = place if isinstance(place, Finding) else _examine(place, leaf, make=True)
        if finding.readable and finding.folder is not None:
            readable.append(Layer(finding.folder, finding.named))
            if finding.writable:
                return Layers(tuple(readable), readable[-1], tuple(refused))
        refused.append(finding)
    return Layers(tuple(readable), None, tuple(refused))


def _places_or_made() -> Iterator[Place | Finding]:
    """The places, and a new one of another name where somebody was quicker to take that in the temporary directory."""
    for place in find_places():
        yield place
        if isinstance(place, Place) and place.is_public and _doubt(place, place.parent):
            yield _place(place.origin, partial(_make_own, place.parent), is_public=True)


def _make_own(taken: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{taken.name}-", dir=taken.parent))


def survey(leaf: str) -> list[Finding]:
    """What `find_layers` would find in every place; makes nothing."""
    return [place if isinstance(place, Finding) else _examine(place, leaf, make=False) for place in find_places()]


def _examine(place: Place, leaf: str, make: bool) -> Finding:
    folder = place.parent / leaf
    doubt = _doubt(place, folder)
    cause = ""
    if make and not doubt:
        cause = _failure(_make, folder, _mode(place))
        doubt = _doubt(place, folder)  # somebody may have been quicker
    if doubt:
        return Finding(place.origin, folder, place.named, False, False, doubt)
    readable = os.path.isdir(folder) and os.access(folder, os.R_OK | os.X_OK)
    cause = cause or _failure(_try_to_write, folder)
    return Finding(place.origin, folder, place.named, readable, not cause, cause)


def _doubt(place: Place, folder: Path) -> str:
    """Why what is at `folder` is not to be trusted; empty if it is, or nothing is there.

    The folder itself counts, not what a link leads to. Where everybody may make folders, that around it counts, too.
    """
    for one in (place.parent, folder) if place.is_public else (folder,):
        if not os.path.lexists(one):
            continue
        if os.path.islink(one) or not os.path.isdir(one):
            return "is not a real directory"
        try:
            doubt = distrust(os.lstat(one), place.named)
        except OSError as error:
            return f"cannot be looked at ({_cause(error)})"
        if doubt:
            return doubt
    return ""


def _mode(place: Place) -> int:
    """700; but what root makes where a variable says is meant to be read by others, as in a container image."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return 0o755 if place.named and is_root else 0o700


def _make(folder: Path, mode: int) -> None:
    with suppress(FileExistsError):  # another process may have made it meanwhile
        try:
            os.mkdir(folder, mode)
        except FileNotFoundError:
            if folder.parent == folder:
                raise
            _make(folder.parent, mode)
            os.mkdir(folder, mode)


def _try_to_write(folder: Path) -> None:
    while not os.path.lexists(folder) and folder.parent != folder:  # not made yet
        folder = folder.parent
    tempfile.TemporaryFile(dir=folder).close()


def _failure(action: Callable[..., None], *arguments: object) -> str:
    try:
        action(*arguments)
    except OSError as error:
        return f"cannot be written ({_cause(error)})"
    return ""


def _cause(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
