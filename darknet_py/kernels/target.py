"""What code is generated for: Numba's own target, which its settings may make less than this CPU.

``NUMBA_CPU_NAME``, ``NUMBA_CPU_FEATURES`` and ``NUMBA_ENABLE_AVX`` decide; the vector width follows, unless
``DARKNET_PY_LANES`` names one, and the register tile with it. An instruction that LLVM may not use, asked for all the
same, ends the process, and one that the CPU lacks does so later: neither may be found out by trying in this process.
"""

from __future__ import annotations

import os
import platform
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import llvmlite.binding as llvm
from numba.core import config
from numba.core.codegen import get_host_cpu_features, initialize_llvm

__all__ = ["WIDTHS", "Target", "Tile", "cpu_name", "find_target"]

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

#: What ``DARKNET_PY_LANES`` may say.
WIDTHS = ("16", "8", "4")


@dataclass(frozen=True)
class Tile:
    """The register tile of dense convolutions: how many pixels by how many vectors of output channels.

    Attributes
    ----------
    pixels, vectors : int
        The accumulators: `pixels` x `vectors` registers.
    heights : tuple of int
        In pixels, the tallest first: for rows that are no multiple of `pixels`.
    short : int
        Pixels of the other tile of depthwise convolutions, for rows of which that wastes less.
    by_lane : bool
        Whether a vector of input channels is loaded at once and multiplied lane by lane, not each channel by itself.
    """

    pixels: int
    vectors: int
    heights: tuple[int, ...]
    short: int
    by_lane: bool = False

    @property
    def registers(self) -> int:
        """Registers that are in use at once: the accumulators, a row of weights, and the inputs."""
        return (self.pixels + 1) * self.vectors + (self.pixels if self.by_lane else 1)


@dataclass(frozen=True)
class Target:
    """A CPU to generate code for, and what code for it is like. Decided once, when kernels are first imported.

    Attributes
    ----------
    cpu, flags : str
        As Numba hands them to LLVM.
    isa : str
        "x86", "arm64", or LLVM's name of another architecture.
    features : frozenset of str
        Of those that decide here, what code may use: "avx", "avx512f", "fma", ...
    lanes : int
        Float32 values of a vector: 16, 8 or 4.
    registers : int
        Vector registers that code for vectors of that width has.
    tile : Tile
        Chosen for these.
    problem : str
        Why nothing can be compiled for it, or run on this CPU; empty if it can.
    """

    cpu: str
    flags: str
    isa: str
    features: frozenset[str]
    lanes: int
    registers: int
    tile: Tile
    problem: str = ""

    @property
    def masks_stores(self) -> bool:
        """Whether storing part of a vector is one instruction, not a detour."""
        return self.lanes == 16

    @property
    def halves_vectors(self) -> bool:
        """Whether half of a vector takes less time than a whole one, for which AVX-512 takes two turns on some CPUs."""
        return self.lanes == 16


def find_target() -> Target:
    """Numba's target; raises nothing."""
    isa = _isa()
    known = _host_features()
    host = frozenset(name for name, is_there in known.items() if is_there)
    name = llvm.get_host_cpu_name()
    cpu = name if config.CPU_NAME is None else str(config.CPU_NAME)
    flags = get_host_cpu_features() if config.CPU_FEATURES is None else str(config.CPU_FEATURES)
    if isa == "arm64":  # fmla is part of the architecture, so that LLVM has no name for it
        host |= {"fma"}
    if (config.CPU_NAME is None and config.CPU_FEATURES is None and config.ENABLE_AVX) or isa != "x86":
        return _target(cpu, flags, isa, host)
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
    return _target(cpu, flags, isa, found)


def _isa() -> str:
    architecture = llvm.get_process_triple().split("-")[0]
    if architecture in ("x86_64", "i386", "i486", "i586", "i686"):
        return "x86"
    return "arm64" if architecture in ("aarch64", "arm64") else architecture


def _target(cpu: str, flags: str, isa: str, features: frozenset[str], problem: str = "") -> Target:
    """Choose the vectors and the tile of a CPU."""
    lanes = _lanes(features)
    registers = 32 if lanes == 16 or isa == "arm64" else 16
    return Target(cpu, flags, isa, features, lanes, registers, _tile(isa, lanes), problem)


def _lanes(features: frozenset[str]) -> int:
    forced = os.environ.get("DARKNET_PY_LANES")
    if forced in WIDTHS:
        return int(forced)
    if "avx512f" in features:
        return 16
    # AVX without FMA (Sandy Bridge) would turn llvm.fma into a libm call per lane: `jit.HAS_FMA` handles it.
    return 8 if "avx" in features else 4


def _tile(isa: str, lanes: int) -> Tile:
    """What fills the register file, so that a multiplication waits for neither loads nor the one before it.

    An instruction of NEON multiplies by one lane of a register: a load brings a pixel's next four channels, where a
    broadcast brings one. Multiplications (fmla) per cycle in the inner loop as llvm-mca 19 estimates them, of 6 x 2
    with broadcasts and of 8 x 2 by lane: Neoverse N1 1.55, 1.99; Neoverse V1 2.98, 3.98; Apple M1 2.08, 2.99;
    Cortex-A53 0.21, 0.37; Cortex-A72 0.84, 1.00 (`benchmarks/arm64.py`). Nothing was timed on such a CPU.
    """
    if lanes == 16:
        return Tile(13, 2, (13, 8, 4), short=10)
    if isa == "arm64" and lanes == 4:
        return Tile(8, 2, (8, 4), short=5, by_lane=True)
    return Tile(6, 2, (6, 4), short=5)


def _impossible(cpu: str, flags: str, problem: str) -> Target:
    names = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX")
    settings = " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    where = settings or f"numba.config.CPU_NAME={cpu!r}, CPU_FEATURES={flags!r}"
    return _target(cpu, flags, _isa(), frozenset(), f"{where}: {problem} (unset them to follow the CPU)")


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


def cpu_name() -> str:
    """What the processor calls itself, or LLVM's name for it: on ARM, /proc/cpuinfo has numbers only."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    known = llvm.get_host_cpu_name()
    return known if known not in ("", "generic") else platform.processor() or platform.machine()
