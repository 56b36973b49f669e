"""The compile policy of every kernel: flags, vector width and the disk cache, decided here and nowhere else.

Kernels are plain functions under ``@kernel``: they take arrays and scalars, allocate nothing, release the GIL
and never use fastmath (Darknet relies on comparisons with NaN being false).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from darknet_py.cache.kernels import KernelCache
from darknet_py.cache.places import Finding, Layers, find_layers
from darknet_py.cache.stamp import stamp_of
from darknet_py.errors import OptionError
from darknet_py.kernels.signals import undisturbed
from darknet_py.kernels.target import WIDTHS, find_target

__all__ = [
    "HAS_AMX",
    "HAS_AVX512",
    "HAS_BFLOAT16",
    "HAS_FMA",
    "KERNEL_PACKAGES",
    "LANES",
    "MATRIX_TILES",
    "TARGET",
    "cache_directory",
    "cache_layers",
    "cache_leaf",
    "check_environment",
    "inlined",
    "kernel",
    "one_at_a_time",
]

TARGET = find_target()

_AMX_SETTINGS = ("0", "emulated")


def check_environment() -> None:
    """Raise OptionError for a variable that forces what there is not; importing must not fail on it."""
    if config.DISABLE_JIT:
        raise OptionError("NUMBA_DISABLE_JIT: kernels cannot run without the compiler: unset NUMBA_DISABLE_JIT")
    if TARGET.problem:
        raise OptionError(TARGET.problem)
    forced = os.environ.get("DARKNET_PY_LANES")
    if forced is not None and forced not in WIDTHS:
        raise OptionError(f"DARKNET_PY_LANES={forced!r}: expected 16, 8 or 4 (unset it to follow the CPU)")
    amx = os.environ.get("DARKNET_PY_AMX")
    if amx is not None and amx not in _AMX_SETTINGS:
        raise OptionError(f"DARKNET_PY_AMX={amx!r}: expected 0 or emulated (unset it to follow the CPU)")


def _check_compiler() -> None:
    """As `check_environment`, and that Numba generates code for what the kernels were written for at import."""
    check_environment()
    _, cpu, flags = cpu_target.target_context.codegen().magic_tuple()
    if (cpu, flags) != (TARGET.cpu, TARGET.flags):
        raise OptionError(
            f"Numba compiles for {cpu}, features {flags!r}, but darknet_py was imported for {TARGET.cpu}, features "
            f"{TARGET.flags!r}: set Numba's CPU before darknet_py is imported"
        )


LANES: int = TARGET.lanes

#: Whether vectors are those of AVX-512, whose lanes may be picked from two registers by one instruction.
HAS_AVX512: bool = LANES == 16 and "avx512f" in TARGET.features

#: Whether fused multiply-add is an instruction here; without it LLVM would call libm once per lane.
HAS_FMA: bool = "fma" in TARGET.features

#: Whether pairs of bfloat16 are multiplied and added to float32 by an instruction (vdpbf16ps); emulated elsewhere.
HAS_BFLOAT16: bool = LANES == 16 and "avx512bf16" in TARGET.features

#: Linux's arch_prctl, what asks it for a part of the register file, and which: the tiles of AMX.
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18


def _may_use_amx() -> bool:
    """Whether this CPU multiplies tiles of bfloat16 (AMX) and the system lets this process have the registers."""
    if not TARGET.features.issuperset(("amx-tile", "amx-bf16")):
        return False
    if not sys.platform.startswith("linux"):
        return False  # others ask in other ways, which nobody here could try
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0


#: Whether convolutions in bfloat16 multiply matrix tiles of 16 x 32 values, and whether by an instruction.
#: ``DARKNET_PY_AMX=0`` forbids them, ``DARKNET_PY_AMX=emulated`` has them on any CPU, slowly: for tests.
HAS_AMX: bool = LANES == 16 and os.environ.get("DARKNET_PY_AMX") not in _AMX_SETTINGS and _may_use_amx()
MATRIX_TILES: bool = HAS_AMX or (LANES == 16 and os.environ.get("DARKNET_PY_AMX") == "emulated")

#: Of Numba's settings, those that change the code of a kernel.
_CODE_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "DISABLE_INTEL_SVML")

#: Where kernels are: the code of all of them names the folder of the compiled ones.
KERNEL_PACKAGES = ("darknet_py.kernels", "darknet_py.boxes.kernels")


@cache
def cache_leaf() -> str | None:
    """Name of the folder with the kernels of this code, compiler, target and kind of tile; None if it has no name.

    Numba's own stamp would miss a change in a callee's file.
    """
    stamp = stamp_of(*KERNEL_PACKAGES)
    if stamp is None:
        return None
    settings = [str(getattr(config, name, "")) for name in _CODE_SETTINGS]
    compiler = (numba.__version__, llvmlite.__version__, sys.implementation.cache_tag)
    target = (llvm.get_process_triple(), TARGET.cpu, TARGET.flags)
    digest = hashlib.sha256(repr((stamp, compiler, target, settings)).encode()).hexdigest()[:16]
    return f"kernels-{digest}-{LANES}" + ("-amx" if HAS_AMX else "-tiles" if MATRIX_TILES else "")


def cache_layers() -> Layers:
    """The folders that compiled kernels and timings are read from, and the one they are kept in.

    ``DARKNET_PY_CACHE_DIR`` names where the first one is; then ``NUMBA_CACHE_DIR``, the user's cache directory and the
    temporary directory follow, until one can be written. They are looked for when a kernel is first needed.
    """
    return _layers_of(os.geteuid() if hasattr(os, "geteuid") else 0)


@cache
def _layers_of(user: int) -> Layers:
    """For a user: a server may begin as another one than it goes on as."""
    leaf = cache_leaf()
    if leaf is None:
        cause = Finding(
            "the code of the kernels", None, False, False, False, "cannot be told from another version's (start anew?)"
        )
        return Layers((), None, (cause,))
    return find_layers(leaf)


def cache_directory() -> Path | None:
    """The folder that compiled kernels are kept in, or, where none can be written, the first that is read; or None."""
    layers = cache_layers()
    layer = layers.writable or next(iter(layers.readable), None)
    return layer.folder if layer else None


# Forks --------------------------------------------------------------------------------------------------------
# A child that is forked while another thread compiles would have Numba's lock held by nobody, and what it guards half
# done. So forks wait until the kernel is compiled, some seconds at most.

_compiler_lock = global_compiler_lock._lock


def one_at_a_time() -> Any:
    """A context in which no other thread compiles or loads machine code, and nothing is forked."""
    return global_compiler_lock


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_compiler_lock.acquire, after_in_parent=_compiler_lock.release, after_in_child=_compiler_lock.release
    )


#: Where Numba is told not to compile, or for what it cannot (LLVM may end the process as soon as it is asked).
_NO_COMPILER = bool(config.DISABLE_JIT or TARGET.problem)


class _Uncompiled:
    """A kernel without a compiler; an error of the call, not of the import."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func = function
        self.__name__ = function.__name__
        self.signatures: tuple[()] = ()

    def compile(self, signature: Any) -> None:
        check_environment()

    def __call__(self, *arguments: Any) -> None:
        check_environment()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` on first call: no GIL, no fastmath, C division, cached on disk."""
    if _NO_COMPILER:
        return _Uncompiled(function)
    compiled = numba.njit(nogil=True, error_model="numpy")(function)
    compiled._cache = KernelCache(function, cache_layers, _check_compiler)
    compiled.compile = undisturbed(compiled.compile)
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """A part of the one kernel that calls it, compiled with that.

    Each level of calls between kernels is optimised again as a whole, with all that it calls.
    """
    return function if _NO_COMPILER else numba.njit(inline="always", error_model="numpy")(function)
