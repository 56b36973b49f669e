"""What code is generated for: Numba's own target, which its settings may make less than this CPU.

``NUMBA_CPU_NAME``, ``NUMBA_CPU_FEATURES`` and ``NUMBA_ENABLE_AVX`` decide; the vector width follows. An instruction
that LLVM may not use, asked for all the same, ends the process, and one that the CPU lacks does so later: neither may
be found out by trying in this process.
"""

from __future__ import annotations

import os
import platform
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import llvmlite.binding as llvm
from numba.core import config
from numba.core.codegen import get_host_cpu_features, initialize_llvm

__all__ = ["Target", "find_target"]

#: One function for each part of the instruction set, and what stands in its assembly where LLVM may use it.
_PROBES = {
    "avx": (
        "define <8 x float> @f(<8 x float> %a) { %b = fadd <8 x float> %a, %a\n ret <8 x float> %b }",
        "ymm",
    ),
    "avx2": ("define <8 x i32> @f(<8 x i32> %a) { %b = add <8 x i32> %a, %a\n ret <8 x i32> %b }", "ymm"),
    "avx512f": (
        "define <16 x float> @f(<16 x float> %a) { %b = fadd <16 x float> %a, %a\n ret <16 x float> %b }",
        "zmm",
    ),
    "fma": (
        "declare float @llvm.fma.f32(float, float, float)\n define float @f(float %a) { "
        "%b = call float @llvm.fma.f32(float %a, float %a, float %a)\n ret float %b }",
        "vfmadd",
    ),
    "bmi2": ("define i64 @f(i64 %a, i64 %b) { %c = shl i64 %a, %b\n ret i64 %c }", "shlx"),
}

#: As above, but LLVM ends the process where it may not use them. The last ones, so that those before are known.
_FATAL_PROBES = {
    "avx512bf16": (
        "declare <16 x bfloat> @llvm.x86.avx512bf16.cvtneps2bf16.512(<16 x float>)\n"
        "define <16 x bfloat> @f(<16 x float> %a) { %b = call <16 x bfloat> "
        "@llvm.x86.avx512bf16.cvtneps2bf16.512(<16 x float> %a)\n ret <16 x bfloat> %b }",
        "vcvtneps2bf16",
    ),
    "amx-tile": (
        "declare void @llvm.x86.tilezero(i8)\ndefine void @f() { call void @llvm.x86.tilezero(i8 0)\n ret void }",
        "tilezero",
    ),
    "amx-bf16": (
        "declare void @llvm.x86.tdpbf16ps(i8, i8, i8)\n"
        "define void @f() { call void @llvm.x86.tdpbf16ps(i8 0, i8 1, i8 2)\n ret void }",
        "tdpbf16ps",
    ),
}

#: Reported with every probe: that LLVM got so far.
_BEGUN = "."

_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686", "x86")


@dataclass(frozen=True)
class Target:
    """A CPU to generate code for.

    Attributes
    ----------
    cpu, flags : str
        As Numba hands them to LLVM.
    features : frozenset of str
        Of those that decide here, what code may use: "avx", "avx512f", "fma", ...
    problem : str
        Why nothing can be compiled for it, or run on this CPU; empty if it can.
    """

    cpu: str
    flags: str
    features: frozenset[str]
    problem: str = ""


def find_target() -> Target:
    """Numba's target; raises nothing."""
    known = _host_features()
    host = frozenset(name for name, is_there in known.items() if is_there)
    name = llvm.get_host_cpu_name()
    cpu = name if config.CPU_NAME is None else str(config.CPU_NAME)
    flags = get_host_cpu_features() if config.CPU_FEATURES is None else str(config.CPU_FEATURES)
    if (config.CPU_NAME is None and config.CPU_FEATURES is None and config.ENABLE_AVX) or not _X86:
        return Target(cpu, flags, host)
    named = [flag for flag in flags.split(",") if flag]
    odd = [flag for flag in named if flag[0] not in "+-"]
    if odd:  # LLVM asserts it
        return _impossible(cpu, flags, f"{odd[0]!r} has no sign, expected features such as +avx2,-avx512f")
    found = _probe(cpu, flags)
    if found is None:
        return _impossible(cpu, flags, f"LLVM generates no code for that, expected the name of a CPU, such as {name}")
    lacking = [flag[1:] for flag in named if flag[0] == "+" and known.get(flag[1:]) is False]
    lacking += sorted(found - host) if host else []
    if lacking:
        return _impossible(cpu, flags, f"this CPU ({name}) has no {lacking[0]}, expected one that it can stand for")
    return Target(cpu, flags, found)


def _impossible(cpu: str, flags: str, problem: str) -> Target:
    names = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX")
    settings = " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    where = settings or f"numba.config.CPU_NAME={cpu!r}, CPU_FEATURES={flags!r}"
    return Target(cpu, flags, frozenset(), f"{where}: {problem} (unset them to follow the CPU)")


def _host_features() -> dict[str, bool]:
    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:  # LLVM does not know how to ask here
        return {}


def _probe(cpu: str, flags: str) -> frozenset[str] | None:
    """What code for a target uses; None if LLVM ends the process over it: a child's, where there are any."""
    if not hasattr(os, "fork"):
        return frozenset(name for name in _PROBES if _uses(name, cpu, flags))
    initialize_llvm()
    reader, writer = os.pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking a process with threads
            child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        return frozenset()
    if child == 0:
        _report(writer, cpu, flags)
    os.close(writer)
    with open(reader, encoding="ascii") as pipe:
        words = pipe.read().split()
    with suppress(ChildProcessError):  # somebody else waits for children, or nobody is to
        os.waitpid(child, 0)
    return frozenset(words) - {_BEGUN} if words else None


def _report(writer: int, cpu: str, flags: str) -> NoReturn:
    """In the child: write what is used, one after the other, as far as LLVM goes."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LLVM says what it does not like
        for name in (*_PROBES, *_FATAL_PROBES):
            uses = _uses(name, cpu, flags)
            os.write(writer, f"{_BEGUN} {name if uses else ''}\n".encode())
    finally:
        os._exit(0)


def _uses(name: str, cpu: str, flags: str) -> bool:
    source, sign = {**_PROBES, **_FATAL_PROBES}[name]
    triple = llvm.get_process_triple()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=flags, opt=1)
    return sign in str(machine.emit_assembly(llvm.parse_assembly(f'target triple = "{triple}"\n{source}')))
