"""Class names: reading a ``.names`` file, and finding the one that belongs to a cfg."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darknet_py.arguments import as_path
from darknet_py.beside import places_beside
from darknet_py.characters import decoded
from darknet_py.errors import CfgError, OptionError
from darknet_py.filekind import HEAD_BYTES, what_it_is
from darknet_py.shipped import shipped

__all__ = ["find_names", "load_names", "names_of_data", "read_data"]

log = logging.getLogger(__name__)

#: The largest list in use (9418 names of yolo9000) has 200 KB; a weights file given by mistake is above this.
LARGEST_FILE = 16 << 20

_EXPECTED = "the path of a .names file, or a list of str"

#: Lists that come with the package, by their length.
_SHIPPED = {80: "coco.names", 20: "voc.names"}


def load_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read class names, one per line, verbatim but for the line end.

    Blank lines at the end are dropped; others count, as in Darknet. A byte order mark is not part of the first name.

    Raises
    ------
    CfgError
        The file cannot be read, is not UTF-8 text, or holds no name.
    """
    text = _read_text(Path(path))
    kind = what_it_is(text[:HEAD_BYTES].encode(), names=True)
    if kind is not None:
        raise CfgError(f"{path}: this is {kind}, expected class names, one per line")
    names = [line.removesuffix("\r") for line in text.split("\n")]
    while names and not names[-1].strip():
        names.pop()
    if not names:
        raise CfgError(f"{path}: the file is empty, expected class names, one per line")
    return tuple(names)


def find_names(
    cfg_path: str | os.PathLike[str],
    classes: int,
    names: str | os.PathLike[str] | Sequence[str] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    classifier: bool = False,
) -> tuple[str, ...]:
    """The names of a network's classes.

    Given names must fit. Otherwise the first of these that has `classes` names: the list the ``.data`` file beside the
    cfg points to; ``<cfg>.names`` beside it; the only fitting ``.names`` there; the shipped COCO or VOC list for 80 or
    20 classes; and failing all, "class 0", "class 1", ...

    Parameters
    ----------
    cfg_path : path
        Need not exist.
    classes : int
    names : path or sequence of str, optional
        The file to read, or the names themselves.
    data_dir : path, optional
        Directory with ``coco.names`` and ``voc.names`` in place of the shipped ones.
    classifier : bool
        The shipped lists, of detectors, say nothing then; and a list may be longer: ImageNet's usual one has 21842
        names, of which the first 1000 are those of a network for 1000 classes.

    Raises
    ------
    CfgError
        Given names that cannot be read, or whose number is not `classes`; or the shipped lists are missing.
    OptionError
        Given names that are neither a path nor text.
    """
    if names is not None:
        return _given(names, classes, classifier)
    cfg = Path(cfg_path)
    for path in _candidates(cfg):
        fitting = _fitting(path, classes, longer=classifier)
        if fitting:
            return fitting
    listed = [fitting for path in sorted(cfg.parent.glob("*.names")) if (fitting := _fitting(path, classes))]
    if len(set(listed)) == 1:
        return listed[0]
    if classes in _SHIPPED and not classifier:
        name = _SHIPPED[classes]
        file = shipped(name) if data_dir is None else Path(data_dir) / name
        if file is None:
            raise CfgError(f"{name}: missing among the data of the package: install darknet-py again, or give names")
        if fitting := _fitting(file, classes):
            return fitting
    return tuple(f"class {i}" for i in range(classes))


def read_data(path: str | os.PathLike[str]) -> dict[str, str]:
    """The ``key = value`` lines of a ``.data`` file; the first of two equal keys counts, as in Darknet.

    Raises
    ------
    CfgError
        The file cannot be read, or is not text.
    """
    options: dict[str, str] = {}
    for line in _read_text(Path(path)).split("\n"):
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", ";")):
            options.setdefault(key.strip(), value.strip())
    return options


def names_of_data(data: Path, options: Mapping[str, str], *, anywhere: bool = False) -> Iterator[Path]:
    """Where the names= (or labels=) of a ``.data`` file may lie: see `places_beside`.

    With `anywhere`, also where the path says, seen from the folder above that of the file and from the working
    directory, as Darknet's own programs have it: for a file that was given for that, not found beside a cfg.
    """
    value = options.get("names") or options.get("labels") or ""
    # As it stands, and without a remark behind it or quotation marks, which Darknet would take for part of the name.
    for said in dict.fromkeys((value, value.split("#")[0].strip().strip("\"'"))):
        if not said:
            continue
        if anywhere:
            name = Path(said.replace("\\", "/"))
            yield from (data.parent / name, data.parent.parent / name, Path.cwd() / name)
        yield from places_beside(data, said)


def _given(names: str | os.PathLike[str] | Sequence[str], classes: int, classifier: bool) -> tuple[str, ...]:
    if isinstance(names, str | bytes | os.PathLike):
        # A classifier's labels are asked for as Darknet asks for them, by the .data file.
        path = _behind_data(as_path("names", names, _EXPECTED), logging.INFO if classifier else logging.WARNING)
        where, found = str(path), load_names(path)
    else:
        where, found = "names", _listed(names)
    if len(found) < classes or (len(found) > classes and not classifier):
        of = "of the network's outputs" if classifier else "of classes of the network's head"
        raise CfgError(f"{where}: {len(found)} names, expected {classes}, the number {of}")
    return found[:classes]


def _behind_data(path: Path, level: int) -> Path:
    """The list that a ``.data`` file points to, where such a file is given in its place; else the file itself."""
    try:
        options = read_data(path)
    except CfgError:
        return path  # said better by who reads it as names
    if path.suffix.lower() != ".data" and not {"names", "classes"} <= set(options):
        return path
    for candidate in names_of_data(path, options, anywhere=True):
        if candidate.is_file():
            log.log(level, "%s is a .data file: the names are those of %s, which it points to", path, candidate)
            return candidate
    said = options.get("names") or options.get("labels")
    what = f"names={said} in it is not there" if said else "it names no list"
    raise CfgError(f"{path}: a .data file, and {what}; give the .names file itself, one name per line")


def _listed(names: Any) -> tuple[str, ...]:
    if not isinstance(names, Iterable) or hasattr(names, "read"):  # the lines of a file end in line ends
        raise OptionError(f"names of type {type(names).__name__}: expected {_EXPECTED}")
    found = tuple(names)
    for number, name in enumerate(found):
        if not isinstance(name, str):
            raise OptionError(f"names: the entry {number} is of type {type(name).__name__}: expected {_EXPECTED}")
    return tuple(map(str, found))


def _candidates(cfg: Path) -> Iterator[Path]:
    """Files that say to belong to this cfg: by its .data file, then by its name."""
    data = cfg.with_suffix(".data")
    if not data.is_file():
        others = sorted(cfg.parent.glob("*.data"))
        data = others[0] if len(others) == 1 else data
    if data.is_file():
        try:
            options = read_data(data)
        except CfgError as error:
            log.warning("%s; not used to find names", error)
            options = {}
        named = tuple(names_of_data(data, options))
        if named and not any(path.is_file() for path in named):
            log.warning("%s says names=%s, which is not there; names are looked for elsewhere", data, named[0])
        yield from named
        _tell_of_others(data, options)
    yield cfg.with_suffix(".names")


def _tell_of_others(data: Path, options: Mapping[str, str]) -> None:
    """Say so where Darknet would find names that are not looked at."""
    places = set(names_of_data(data, options))
    others = [path for path in names_of_data(data, options, anywhere=True) if os.path.isfile(path)]
    if others and others[0] not in places and not any(os.path.isfile(path) for path in places):
        log.warning("%s: names %s lie outside its folder and are not opened; give them with --names", data, others[0])


def _fitting(path: Path, classes: int, *, longer: bool = False) -> tuple[str, ...] | None:
    """The names in a file nobody asked for by name: None if there is no such file, or it does not fit."""
    if not path.is_file():
        return None
    try:
        found = load_names(path)
    except CfgError as error:
        log.warning("%s; not used", error)
        return None
    if len(found) < classes or (len(found) > classes and not longer):
        log.debug("%s has %d names for %d classes; not used", path, len(found), classes)
        return None
    return found[:classes]


def _read_text(path: Path) -> str:
    """The file as text, CfgError if it cannot be read or is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise CfgError(f"{path}: cannot be read ({error.strerror or error}), expected a text file") from error
    if len(raw) > LARGEST_FILE:
        raise CfgError(f"{path}: over {LARGEST_FILE >> 20} MB, expected a text file of names (is it a weights file?)")
    text = decoded(raw)  # UTF-16, of Windows' editors and shells
    if text is not None:
        return _with_newlines(text.removeprefix("\ufeff"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CfgError(f"{path}:{line}: not UTF-8 text; if these are names, save the file as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise CfgError(f"{path}:{line}: binary data, expected text, one name per line")
    return _with_newlines(text)


def _with_newlines(text: str) -> str:
    """The text with its lines divided by line feeds, also where they are by carriage returns alone."""
    return text if "\n" in text else text.replace("\r", "\n")
