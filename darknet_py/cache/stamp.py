"""What compiled kernels are named by: a digest of the code that is loaded, as its loader gives it.

Not of files: in a frozen or zipped program there are none, and one digest for every version would have an update run
the kernels of the version before. Nor of sources: Python may have loaded an older ``.pyc``.
"""

from __future__ import annotations

import hashlib
import pkgutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import CodeType, ModuleType

__all__ = ["code_digest", "stamp_of"]


def stamp_of(*names: str) -> str | None:
    """A digest of the code of some modules and packages, with all that lies in those.

    Returns
    -------
    str or None
        None where it cannot be told: a loader gives no code, or what is loaded is not what it gives now, as after an
        update under a running program.
    """
    codes: dict[str, CodeType] = {}
    try:
        for top in names:
            codes.update((name, _module_code(name)) for name in _modules_of(top))
    except (ImportError, AttributeError, TypeError, OSError, ValueError, EOFError, SyntaxError):
        return None
    for name, module in list(sys.modules.items()):
        if not any(name == top or name.startswith(f"{top}.") for top in names):
            continue
        if name not in codes:
            return None
        # Functions that a library wrote into a module, as of dataclasses, are of no file or another one.
        loaded = {code for code in _defined(module) if code.co_filename == codes[name].co_filename}
        if not loaded.issubset(_within(codes[name])):
            return None
    whole = hashlib.sha256()
    for name, code in sorted(codes.items()):
        whole.update(f"{name} {code_digest(code)}\n".encode())
    return whole.hexdigest()


def _modules_of(top: str) -> Iterator[str]:
    """The names of a module or package and of all that lies in it; only the packages around each are imported."""
    spec = find_spec(top)
    if spec is None:
        raise ImportError(f"{top}: no such module")
    yield top
    for found in pkgutil.iter_modules(spec.submodule_search_locations or ()):
        yield from _modules_of(f"{top}.{found.name}")


def _module_code(name: str) -> CodeType:
    loader = getattr(find_spec(name), "loader", None)
    code = loader.get_code(name) if loader is not None else None
    if not isinstance(code, CodeType):
        raise ImportError(f"{name}: its loader gives no code")
    return code


def _within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _within(constant)


def _defined(module: ModuleType) -> Iterator[CodeType]:
    """The code of what a module defines: functions, also compiled ones and intrinsics, and the methods of classes."""
    for value in list(vars(module).values()):
        owners = list(vars(value).values()) if isinstance(value, type) and value.__module__ == module.__name__ else []
        for one in (value, *owners):
            function = getattr(one, "py_func", None) or getattr(one, "_defn", None) or one
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType) and getattr(function, "__module__", None) == module.__name__:
                yield code


def code_digest(code: CodeType) -> str:
    """A digest of what a code object does, wherever its file lies and on whatever lines."""
    digest = hashlib.sha256()
    for one in _within(code):
        names = (one.co_name, one.co_names, one.co_varnames, one.co_freevars, one.co_cellvars)
        counts = (one.co_argcount, one.co_posonlyargcount, one.co_kwonlyargcount, one.co_flags)
        constants = tuple(map(_comparable, one.co_consts))
        digest.update(repr((names, counts, constants, one.co_code, getattr(one, "co_exceptiontable", b""))).encode())
    return digest.hexdigest()


def _comparable(constant: object) -> object:
    """A constant whose repr is the same in every process: sets have no order, and code stands for itself."""
    if isinstance(constant, CodeType):
        return "code"
    if isinstance(constant, frozenset):
        return ("set", sorted(map(repr, map(_comparable, constant))))
    return tuple(map(_comparable, constant)) if isinstance(constant, tuple) else constant
