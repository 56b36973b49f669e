"""What code is generated for: the width follows Numba's target, and what is impossible is an error of the call."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

import darknet_py
from darknet_py.kernels import target as module

PACKAGE = Path(darknet_py.__file__).parents[1]
FEATURES = dict(llvm.get_host_cpu_features())

pytestmark = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other CPUs have one width")

#: A kernel of each kind that asks for particular instructions, and what runs beside a network.
SCRIPT = """
import sys, tempfile
from pathlib import Path
from networks import TinyNetwork, check
from darknet_py import OptionError
from darknet_py.kernels.jit import HAS_AMX, HAS_AVX512, HAS_BFLOAT16, HAS_FMA, LANES
tiny = TinyNetwork((3, 9, 14), seed=1)
tiny.add("convolutional", {"filters": 17, "size": 3, "pad": 1, "activation": "mish", "batch_normalize": 1})
tiny.add("maxpool", {"size": 2, "stride": 2})
check(tiny, Path(tempfile.mkdtemp()))
from darknet_py import Network
Network(*tiny.write(Path(tempfile.mkdtemp())), precision="bfloat16").run(tiny.blob)
import numpy as np
from darknet_py.image import to_blob
to_blob(np.zeros((14, 31, 3), np.uint8), 17, 9)
print(LANES, HAS_AVX512, HAS_FMA, HAS_BFLOAT16, HAS_AMX)
"""

REFUSED = """
import numpy as np
import darknet_py
from darknet_py.image import to_blob
for call in (lambda: darknet_py.Network("a.cfg", "a.weights"), lambda: to_blob(np.zeros((9, 9, 3), np.uint8), 4, 4)):
    try:
        call()
    except darknet_py.OptionError as error:
        print(error)
"""


def run(script: str, **changes: str) -> str:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "DARKNET_PY_"))}
    path = os.pathsep.join([str(Path(__file__).parent), str(PACKAGE), kept.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**kept, "PYTHONPATH": path, **changes},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("settings", "expected", "needed"),
    [
        ({"NUMBA_CPU_NAME": "generic"}, "4 False False False False", ()),
        ({"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2,+fma"}, "8 False True False False", ("fma",)),
        ({"NUMBA_CPU_NAME": "sandybridge", "NUMBA_CPU_FEATURES": ""}, "8 False False False False", ("avx",)),
        ({"NUMBA_CPU_NAME": "x86-64-v4", "NUMBA_CPU_FEATURES": ""}, "16 True True False False", ("avx512f",)),
        (
            {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+avx512f,-avx512f,+fma,-avx"},
            "4 False False False False",
            ("avx512f",),
        ),
    ],
    ids=str,
)
def test_the_width_follows_the_target(settings: dict[str, str], expected: str, needed: tuple[str, ...]) -> None:
    if not all(FEATURES.get(feature) for feature in needed):
        pytest.skip(f"this CPU has not all of {needed}")
    script = "from darknet_py.kernels.jit import *; print(LANES, HAS_AVX512, HAS_FMA, HAS_BFLOAT16, HAS_AMX)"
    assert run(script, **settings).strip() == expected


@pytest.mark.parametrize("lanes", ["16", "8"])
def test_wide_vectors_for_a_narrow_target(lanes: str, tmp_path: Path) -> None:
    """Slow, not impossible: LLVM splits them."""
    settings = {"NUMBA_CPU_NAME": "generic", "DARKNET_PY_LANES": lanes, "DARKNET_PY_CACHE_DIR": str(tmp_path)}
    assert run(SCRIPT, **settings).split() == [lanes, *["False"] * 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_ENABLE_AVX": "0"},
        {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""},
        {"NUMBA_CPU_NAME": "x86-64-v4", "NUMBA_CPU_FEATURES": ""},
    ],
    ids=str,
)
def test_every_target_computes_the_same(settings: dict[str, str], tmp_path: Path) -> None:
    if not FEATURES.get("avx512f"):
        pytest.skip("this CPU is one of the narrow ones itself")
    run(SCRIPT, DARKNET_PY_CACHE_DIR=str(tmp_path), **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"NUMBA_CPU_NAME": "no-such-cpu", "NUMBA_CPU_FEATURES": ""}, "expected the name of a CPU"),
        ({"NUMBA_CPU_NAME": "no-such-cpu", "NUMBA_CPU_FEATURES": "", "DARKNET_PY_LANES": "4"}, "expected the name"),
        ({"NUMBA_CPU_FEATURES": "avx2"}, "'avx2' has no sign"),
        ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+fma4,+xop"}, "has no"),
        ({"NUMBA_DISABLE_JIT": "1"}, "kernels cannot run without the compiler: unset NUMBA_DISABLE_JIT"),
    ],
    ids=str,
)
def test_the_impossible_is_an_error_of_the_call(settings: dict[str, str], said: str) -> None:
    """Not an abort of the process, nor an error of the import; also where no network is made first."""
    if "+fma4" in settings.get("NUMBA_CPU_FEATURES", "") and FEATURES.get("fma4"):
        pytest.skip("this CPU has it")
    first, second = run(REFUSED, **settings).splitlines()
    assert said in first and first == second
    assert any(name in first for name in settings)


def test_threads_that_numba_cannot_have() -> None:
    script = """
from darknet_py import OptionError
try:
    import darknet_py.network
except OptionError as error:
    print(error)
"""
    said = run(script, NUMBA_NUM_THREADS="0")
    assert said.startswith("NUMBA_NUM_THREADS='0': Numba cannot be loaded: ") and said.endswith("(unset it)\n")


def test_a_target_that_changes_after_the_import() -> None:
    script = """
import numba, numpy as np
from darknet_py import OptionError
from darknet_py.image import to_blob
numba.config.CPU_NAME = "generic"
try:
    to_blob(np.zeros((9, 9, 3), np.uint8), 4, 4)
except OptionError as error:
    print(error)
"""
    assert "before darknet_py is imported" in run(script)


def test_a_cpu_that_has_less_than_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.llvm, "get_host_cpu_features", lambda: {"avx": True, "avx2": False, "fma": False})
    monkeypatch.setattr(module.config, "CPU_NAME", "haswell")
    monkeypatch.setattr(module.config, "CPU_FEATURES", "")
    monkeypatch.setenv("NUMBA_CPU_NAME", "haswell")
    found = module.find_target()
    assert found.problem.startswith("NUMBA_CPU_NAME=haswell: this CPU") and "has no avx2" in found.problem


def test_a_system_that_gives_no_process_to_try_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the least is taken that every CPU has."""

    def none() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", none)
    monkeypatch.delenv("DARKNET_PY_LANES", raising=False)
    monkeypatch.setattr(module.config, "CPU_NAME", "generic")
    found = module.find_target()
    assert (found.cpu, found.features, found.problem) == ("generic", frozenset(), "")
    assert found.lanes == 4


def test_a_host_that_llvm_cannot_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> dict[str, bool]:
        raise RuntimeError("failed to get host cpu features")

    monkeypatch.setattr(module.llvm, "get_host_cpu_features", fails)
    assert module.find_target().features == frozenset() and not module.find_target().problem
