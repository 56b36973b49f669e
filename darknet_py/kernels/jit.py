"""The compile policy of every kernel: flags, vector width and the disk cache, decided here and nowhere else.

Kernels are plain functions under ``@kernel``: they take arrays and scalars, allocate nothing, release the GIL
and never use fastmath (Darknet relies on comparisons with NaN being false).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import caching

from darknet_py.errors import OptionError

__all__ = [
    "HAS_AMX",
    "HAS_AVX512",
    "HAS_BFLOAT16",
    "HAS_FMA",
    "LANES",
    "MATRIX_TILES",
    "cache_directory",
    "check_environment",
    "inlined",
    "kernel",
]


@cache
def _cpu_features() -> dict[str, bool]:
    return dict(llvm.get_host_cpu_features())


_WIDTHS = ("16", "8", "4")
_AMX_SETTINGS = ("0", "emulated")


def check_environment() -> None:
    """Raise OptionError for a variable that forces what there is not; importing must not fail on it."""
    forced = os.environ.get("DARKNET_PY_LANES")
    if forced is not None and forced not in _WIDTHS:
        raise OptionError(f"DARKNET_PY_LANES={forced!r}: expected 16, 8 or 4 (unset it to follow the CPU)")
    amx = os.environ.get("DARKNET_PY_AMX")
    if amx is not None and amx not in _AMX_SETTINGS:
        raise OptionError(f"DARKNET_PY_AMX={amx!r}: expected 0 or emulated (unset it to follow the CPU)")


def _vector_lanes() -> int:
    """Float32 lanes of the widest vector this CPU computes with: 16, 8 or 4."""
    forced = os.environ.get("DARKNET_PY_LANES")
    if forced in _WIDTHS:
        return int(forced)
    features = _cpu_features()
    if features.get("avx512f"):
        return 16
    # AVX without FMA (Sandy Bridge) would turn llvm.fma into a libm call per lane: `has_fma` below handles it.
    return 8 if features.get("avx") else 4


LANES: int = _vector_lanes()

#: Whether vectors are those of AVX-512, whose lanes may be picked from two registers by one instruction.
HAS_AVX512: bool = LANES == 16 and _cpu_features().get("avx512f", False)

#: Whether fused multiply-add is an instruction here; without it LLVM would call libm once per lane.
HAS_FMA: bool = _cpu_features().get("fma", False) or platform.machine().lower() in ("aarch64", "arm64")

#: Whether pairs of bfloat16 are multiplied and added to float32 by an instruction (vdpbf16ps); emulated elsewhere.
HAS_BFLOAT16: bool = LANES == 16 and _cpu_features().get("avx512bf16", False)

#: Linux's arch_prctl, what asks it for a part of the register file, and which: the tiles of AMX.
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18


def _may_use_amx() -> bool:
    """Whether this CPU multiplies tiles of bfloat16 (AMX) and the system lets this process have the registers."""
    if not (_cpu_features().get("amx-tile", False) and _cpu_features().get("amx-bf16", False)):
        return False
    if not sys.platform.startswith("linux"):
        return False  # others ask in other ways, which nobody here could try
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0


#: Whether convolutions in bfloat16 multiply matrix tiles of 16 x 32 values, and whether by an instruction.
#: ``DARKNET_PY_AMX=0`` forbids them, ``DARKNET_PY_AMX=emulated`` has them on any CPU, slowly: for tests.
HAS_AMX: bool = LANES == 16 and os.environ.get("DARKNET_PY_AMX") not in _AMX_SETTINGS and _may_use_amx()
MATRIX_TILES: bool = HAS_AMX or (LANES == 16 and os.environ.get("DARKNET_PY_AMX") == "emulated")


def _writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


@cache
def _source_digest() -> str:
    """Digest of every kernel's source: Numba's own stamp would miss a change in a callee's file."""
    package = Path(__file__).parent
    digest = hashlib.sha256(f"{numba.__version__} {sys.version_info[:2]}".encode())
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_directory() -> Path:
    """Directory that holds the compiled kernels of this version, vector width and kind of tile.

    ``DARKNET_PY_CACHE_DIR`` names the parent; otherwise ``NUMBA_CACHE_DIR``, otherwise the user's cache directory,
    otherwise the temporary directory, so that a read-only home or site-packages still works.
    """
    candidates: list[Path] = []
    for variable in ("DARKNET_PY_CACHE_DIR", "NUMBA_CACHE_DIR"):
        if os.environ.get(variable):
            candidates.append(Path(os.environ[variable]))
    if sys.platform == "win32":
        candidates.append(Path(os.environ.get("LOCALAPPDATA", Path.home())) / "darknet-py")
    elif sys.platform == "darwin":
        candidates.append(Path.home() / "Library" / "Caches" / "darknet-py")
    else:
        candidates.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "darknet-py")
    candidates.append(Path(tempfile.gettempdir()) / f"darknet-py-{os.getuid() if hasattr(os, 'getuid') else 'user'}")
    leaf = f"kernels-{_source_digest()}-{LANES}" + ("-amx" if HAS_AMX else "-tiles" if MATRIX_TILES else "")
    for parent in candidates:
        if _writable(parent / leaf):
            return parent / leaf
    return candidates[-1] / leaf


class _Locator(caching._CacheLocator):
    """Numba's question "where is this function cached, and is it fresh?", answered for this package."""

    def __init__(self, py_func: Callable[..., Any], py_file: str) -> None:
        self._line = py_func.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(cache_directory())

    def get_source_stamp(self) -> str:
        return _source_digest()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator:
        return cls(py_func, py_file)


class _CompileResultCache(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 (numba's own attribute)


class _KernelCache(caching.FunctionCache):
    _impl_class = _CompileResultCache


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` on first call: no GIL, no fastmath, C division, cached on disk."""
    compiled = numba.njit(nogil=True, error_model="numpy")(function)
    if hasattr(compiled, "_cache") and _writable(cache_directory()):
        compiled._cache = _KernelCache(function)
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """A part of the one kernel that calls it, compiled with that.

    Each level of calls between kernels is optimised again as a whole, with all that it calls.
    """
    return numba.njit(inline="always", error_model="numpy")(function)
