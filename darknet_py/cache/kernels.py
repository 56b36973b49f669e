"""Compiled kernels on disk, as Numba asks for them: layers that are read in turn, one that is written.

Numba's own cache trusts what it finds: a file that a power cut left half written ends every run, and LLVM ends the
process over object code that is damaged. So a digest stands before the pickle, which is not touched unless it fits.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import caching, compiler
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from darknet_py.address_space import need_bytes
from darknet_py.cache.places import Layer, Layers
from darknet_py.cache.stamp import code_digest
from darknet_py.cache.trust import read_file, write_file

__all__ = ["KernelCache", "check_kernels", "tell_once"]

_log = logging.getLogger(__name__)

#: Address space that loading a kernel takes, compiling the first, and any later one; with less LLVM ends the process.
_LOADED_BYTES, _FIRST_BYTES, _LATER_BYTES = 12 << 20, 64 << 20, 16 << 20

#: At the start of a file of machine code; a digest of the key and of what follows come after it.
_MAGIC = b"darknet-py kernel 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size


class KernelCache(caching.Cache):  # type: ignore[misc]
    """The cache of one kernel.

    Parameters
    ----------
    function : callable
        What is compiled.
    layers : callable
        Gives the folders; called when a kernel is first needed, so that an import touches nothing.
    check : callable
        Raises an OptionError where nothing can be compiled; called before anything is.
    """

    _is_first = True

    def __init__(self, function: Callable[..., Any], layers: Callable[[], Layers], check: Callable[[], None]) -> None:
        self._py_func = function
        self._name = repr(function)
        self._layers, self._check = layers, check
        module = function.__module__.rpartition(".")[2]
        line, version = function.__code__.co_firstlineno, "".join(map(str, sys.version_info[:2]))
        qualified = function.__qualname__.translate({ord("<"): None, ord(">"): None})
        self._base = f"{module}.{qualified}-{line}.py{version}{getattr(sys, 'abiflags', '')}"
        self.enable()

    @property
    def cache_path(self) -> str:
        writable = self._layers().writable
        return str(writable.folder) if writable else ""

    def flush(self) -> None:
        """Forget what is kept of this kernel."""
        writable = self._layers().writable
        if writable is not None:
            _Entries(writable, self._base).forget()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel; None if it is in no layer, or damaged: then it is compiled, and replaced."""
        self._check()
        need_bytes(_LOADED_BYTES, "loading a kernel")
        # All that loaded code asks for. What `target_context.refresh` brings in 0.2 s the compiler needs, and calls it.
        rtsys.initialize(target_context)
        if not self._enabled:
            return None
        key = self._key(sig, target_context.codegen())
        layers = self._layers()
        for layer in layers.readable:
            payload = _Entries(layer, self._base).load(key)
            if payload is None:
                continue
            try:
                return compiler.CompileResult._rebuild(target_context, *pickle.loads(payload))
            except Exception as error:  # whatever it is, the kernel can be compiled
                _log.info("%s: %s cannot be loaded (%r): compiled again", layer.folder, self._base, error)
        tell_once(layers)
        need_bytes(_FIRST_BYTES if self._is_first else _LATER_BYTES, "compiling a kernel")
        KernelCache._is_first = False
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel; where that fails it serves this process all the same."""
        layer = self._layers().writable
        if not self._enabled or layer is None or data.library.has_dynamic_globals:
            return
        try:
            _find_lost_code(data.library)
            _Entries(layer, self._base).save(self._key(sig, data.codegen), dumps(data._reduce()))
        except Exception as error:
            _tell_of_failure(layer.folder, str(getattr(error, "strerror", None) or error))

    def _key(self, sig: Any, codegen: Any) -> str:
        types, target, code = self._index_key(sig, codegen)
        named = (str(types), target, code, code_digest(self._py_func.__code__))
        return hashlib.sha256(repr(named).encode()).hexdigest()


def _find_lost_code(library: Any) -> None:
    """Let LLVM emit the code of a kernel once more, the same bytes, if the call that brought it to Numba failed.

    That call looks through a set of modules, of which a finalizer, of this thread or another, may take one away
    meanwhile: somebody's function that was compiled and forgotten. Python prints the error and goes on.
    """
    if library._compiled_object is None:
        library._compiled_object = library._codegen._tm.emit_object(library._final_module)


class _Entries:
    """The files of one kernel in one folder: an index, of which signature is in which file, and those."""

    def __init__(self, layer: Layer, base: str) -> None:
        self._folder, self._named, self._base = layer.folder, layer.named, base
        self._index = layer.folder / f"{base}.nbi"

    def load(self, key: str) -> bytes | None:
        name = self._names().get(key)
        if name is None:
            return None
        try:
            return _unpacked(read_file(self._folder / name, self._named), key)
        except (OSError, MemoryError, ValueError) as error:
            _log.info("%s/%s cannot be used (%s): compiled again", self._folder, name, error)
            return None

    def save(self, key: str, payload: bytes) -> None:
        names = self._names()
        taken = set(names.values())
        free = (f"{self._base}.{number}.nbc" for number in range(1, len(taken) + 2))
        name = names.get(key) or next(name for name in free if name not in taken)
        digest = hashlib.sha256(key.encode() + payload).digest()
        write_file(self._folder / name, b"".join((_MAGIC, digest, payload)))
        if names.get(key) != name:
            write_file(self._index, json.dumps({**names, key: name}, indent=1).encode())

    def forget(self) -> None:
        try:
            write_file(self._index, b"{}")
        except OSError as error:
            _tell_of_failure(self._folder, str(error.strerror or error))

    def _names(self) -> dict[str, str]:
        try:
            found = dict(json.loads(read_file(self._index, self._named)))
            if not all(_is_name(name, self._base) for name in found.values()):
                raise ValueError("names of other files")
            return found
        except FileNotFoundError:
            return {}
        except Exception as error:  # zeros, half a file, another format, nesting without end
            _log.info("%s cannot be used (%r): compiled again", self._index, error)
            return {}


def _is_name(name: object, base: str) -> bool:
    return isinstance(name, str) and name.startswith(base) and name.endswith(".nbc") and os.path.basename(name) == name


def _unpacked(data: bytes, key: str) -> bytes:
    """What was kept under `key`.

    Raises
    ------
    ValueError
        It is damaged, or another signature's: two processes may have taken the same name.
    """
    start = len(_MAGIC) + _DIGEST_BYTES
    payload = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or hashlib.sha256(key.encode() + payload).digest() != data[len(_MAGIC) : start]:
        raise ValueError("damaged")
    return payload


def check_kernels(layer: Layer) -> tuple[int, list[Path]]:
    """How many kernels a folder has that are whole, and the files that are not, or that nothing leads to."""
    whole, damaged = 0, []
    used: set[Path] = set()
    for index in sorted(layer.folder.glob("*.nbi")):
        entries = _Entries(layer, index.name.removesuffix(".nbi"))
        names = entries._names()
        if not names:
            damaged.append(index)
        for key, name in names.items():
            file = layer.folder / name
            used.add(file)
            if entries.load(key) is None:
                damaged.append(file)
            else:
                whole += 1
    return whole, [*damaged, *sorted(_leftovers(layer.folder, used))]


def _leftovers(folder: Path, used: set[Path]) -> Iterator[Path]:
    for file in folder.iterdir():
        if file.name.endswith(".tmp") or (file.name.endswith(".nbc") and file not in used):
            yield file


@cache
def tell_once(layers: Layers) -> None:
    """Say, when something is compiled, that it is not kept where one would expect, and what to do about it."""
    reasons = "; ".join(map(str, layers.refused))
    if layers.writable is None:
        _log.warning(
            "compiled kernels cannot be kept, every process compiles its own (up to a minute): %s; set "
            "DARKNET_PY_CACHE_DIR to a folder that this user may write to",
            reasons,
        )
    elif reasons:
        _log.warning(
            "compiled kernels are kept in %s: %s; set DARKNET_PY_CACHE_DIR to a folder that this user may write to "
            "for another place",
            layers.writable.folder,
            reasons,
        )


@cache
def _tell_of_failure(folder: Path, cause: str) -> None:
    _log.warning(
        "%s: a compiled kernel could not be kept (%s), the next process compiles it again: make room there, or set "
        "DARKNET_PY_CACHE_DIR to a folder that this user may write to",
        folder,
        cause,
    )
