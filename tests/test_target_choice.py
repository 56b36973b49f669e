"""What a target decides: width, registers and tile, for CPUs that are not this one; and what a processor is called."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from darknet_py.bench import describe_machine
from darknet_py.kernels import jit
from darknet_py.kernels import target as module
from darknet_py.kernels.target import Target

X86, ARM, MAC = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-darwin23.1.0"

AVX512 = {"avx": True, "avx2": True, "avx512f": True, "fma": True}
AVX2 = {"avx": True, "avx2": True, "avx512f": False, "fma": True}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> object:
    """Finds the target of a host of a triple and features."""

    def find(triple: str, features: dict[str, bool], lanes: str | None = None) -> Target:
        monkeypatch.setattr(module.llvm, "get_process_triple", lambda: triple)
        monkeypatch.setattr(module.llvm, "get_host_cpu_features", lambda: features)
        monkeypatch.setattr(module.llvm, "get_host_cpu_name", lambda: "some-cpu")
        for name in ("CPU_NAME", "CPU_FEATURES"):
            monkeypatch.setattr(module.config, name, None)
        monkeypatch.setattr(module.config, "ENABLE_AVX", True)
        monkeypatch.setattr(module, "get_host_cpu_features", lambda: "")
        monkeypatch.delenv("DARKNET_PY_LANES", raising=False)
        if lanes is not None:
            monkeypatch.setenv("DARKNET_PY_LANES", lanes)
        return module.find_target()

    return find


@pytest.mark.parametrize(
    ("triple", "features", "lanes", "isa", "expected"),
    [
        (X86, AVX512, None, "x86", (16, 32, 13, 2)),
        (X86, AVX2, None, "x86", (8, 16, 6, 2)),
        (X86, {"sse2": True}, None, "x86", (4, 16, 6, 2)),
        (X86, AVX512, "8", "x86", (8, 16, 6, 2)),
        (X86, AVX512, "4", "x86", (4, 16, 6, 2)),
        (X86, AVX512, "3", "x86", (16, 32, 13, 2)),  # refused later, by name
        ("i686-pc-windows-msvc", {}, None, "x86", (4, 16, 6, 2)),
        (ARM, {"neon": True}, None, "arm64", (4, 32, 8, 2)),
        (MAC, {"neon": True}, None, "arm64", (4, 32, 8, 2)),
        (ARM, {}, "16", "arm64", (16, 32, 13, 2)),
        ("riscv64-unknown-linux-gnu", {}, None, "riscv64", (4, 16, 6, 2)),
    ],
)
def test_width_registers_and_tile(found, triple, features, lanes, isa, expected):
    target = found(triple, features, lanes)
    tile = target.tile
    assert (target.lanes, target.registers, tile.pixels, tile.vectors) == expected
    assert (target.isa, target.cpu, target.problem) == (isa, "some-cpu", "")
    # All that is in use at once fits, and every height is one of the tile's, in order.
    assert tile.registers <= target.registers
    assert tile.heights[0] == tile.pixels
    assert list(tile.heights) == sorted(tile.heights, reverse=True)
    assert 0 < tile.short < tile.pixels
    # SSE2 has four lanes as well, and no instruction that multiplies by one of them.
    assert tile.by_lane is (isa == "arm64" and target.lanes == 4)


@pytest.mark.parametrize(("triple", "has"), [(ARM, True), (MAC, True), (X86, False)])
def test_arm_always_multiplies_and_adds_at_once(found, triple, has):
    """LLVM names the feature on x86 alone."""
    assert ("fma" in found(triple, {}).features) is has


def test_what_is_decided_cannot_be_changed():
    with pytest.raises(AttributeError):
        jit.TARGET.lanes = 4
    with pytest.raises(AttributeError):
        jit.TARGET.tile.pixels = 4
    assert jit.TARGET.lanes == jit.LANES


CPUINFO = {
    "x86": "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9B14\n",
    "arm": "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
}


@pytest.mark.parametrize(
    ("cpuinfo", "llvm_name", "said"),
    [
        ("x86", "znver4", "AMD EPYC 9B14"),
        ("arm", "neoverse-n1", "neoverse-n1"),
        (None, "apple-m1", "apple-m1"),
        ("arm", "generic", "a processor"),  # LLVM does not know it either
        (None, "", "a processor"),
    ],
)
def test_the_name_of_the_processor(monkeypatch, tmp_path, cpuinfo, llvm_name, said):
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(CPUINFO[cpuinfo])
    monkeypatch.setattr(module, "Path", lambda path: file if path == "/proc/cpuinfo" else Path(path))
    monkeypatch.setattr(module.llvm, "get_host_cpu_name", lambda: llvm_name)
    monkeypatch.setattr(platform, "processor", lambda: "a processor")
    assert module.cpu_name() == said
    assert describe_machine().startswith(f"{said}, ")


def test_timings_of_another_processor_are_kept_apart(monkeypatch):
    """The name is LLVM's, which it has on every system; the folder holds compiled kernels and what was measured."""
    from dataclasses import replace

    jit.cache_leaf.cache_clear()
    here = jit.cache_leaf()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(jit, "TARGET", replace(jit.TARGET, cpu="neoverse-n1"))
            jit.cache_leaf.cache_clear()
            there = jit.cache_leaf()
    finally:
        jit.cache_leaf.cache_clear()
    assert None not in (here, there)
    assert here != there


def test_it_knows_this_machine():
    assert module.cpu_name().strip()
    assert os.environ.get("DARKNET_PY_LANES", str(jit.LANES)) == str(jit.LANES)
