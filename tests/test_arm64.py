"""Code for ARM CPUs, made here by llvmlite's own back end and, where there is qemu, run and compared with x86's."""

from __future__ import annotations

import inspect
import json
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from numba.core.dispatcher import Dispatcher

import darknet_py
from darknet_py.kernels.jit import KERNEL_PACKAGES
from darknet_py.kernels.ops.operation import Operation

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from arm64 import NO_BACK_END, SIGNATURES, STEP_ARGUMENTS, inner_loop

TESTS = Path(__file__).parent
PACKAGE = Path(darknet_py.__file__).parent
CPUS = ("generic", "cortex-a72", "neoverse-n1", "apple-m1")

#: Made by `.ci/arm64-tree`.
TREE = os.environ.get("DARKNET_PY_ARM64_TREE")

needs_tree = pytest.mark.skipif(
    TREE is None, reason="DARKNET_PY_ARM64_TREE names no folder that .ci/arm64-tree made (it needs qemu-user-static)"
)


def environment(**changes: str) -> dict[str, str]:
    """This environment without what decides on targets, algorithms and caches, plus `changes`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "DARKNET_PY_"))}
    path = os.pathsep.join([str(TESTS), str(PACKAGE.parent), kept.get("PYTHONPATH", "")])
    return {**kept, "PYTHONPATH": path, **changes}


def run(*command: str | Path, **changes: str) -> str:
    """What a program of this checkout prints."""
    done = subprocess.run(
        [str(word) for word in command], cwd=TESTS.parent, env=environment(**changes), capture_output=True, text=True
    )
    if done.returncode != 0 and NO_BACK_END in done.stderr:
        pytest.skip(NO_BACK_END)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def compiled(cpu: str, *options: str, **changes: str) -> dict[str, dict[str, int]]:
    said = run(sys.executable, "benchmarks/arm64.py", cpu, "--json", *options, **changes)
    found: dict[str, dict[str, int]] = json.loads(said)
    return found


def check_tiles(cpu: str) -> None:
    tiles = compiled(cpu)
    assert set(tiles) == {"float32 8x2", "float32 8x1", "bfloat16 8x2", "bfloat16 8x1"}
    for name, loop in tiles.items():
        # The stack holds no accumulator: nothing in the loop touches it.
        assert loop["spills"] == 0, (name, loop)
        vectors, products = int(name[-1]), 2 if name.startswith("bfloat16") else 1
        channels = loop["multiplications"] // (8 * vectors * products)
        # LLVM may unroll further; a load brings four channels of a pixel, or four of a weight's vector.
        assert channels in (4, 8), (name, loop)
        assert loop["loads"] <= channels * (vectors + 8 // (4 // products)), (name, loop)


def test_inner_loops_of_tiles_stay_in_registers() -> None:
    """Of the CPU that LLVM schedules for where it knows no better."""
    check_tiles("generic")


@pytest.mark.slow
@pytest.mark.parametrize("cpu", CPUS[1:])
def test_inner_loops_of_tiles_stay_in_registers_everywhere(cpu: str) -> None:
    check_tiles(cpu)


def check_kernels(cpu: str, folder: Path, *names: str) -> set[str]:
    """Those that were compiled: LLVM verified their modules, and what threads do is what ARM needs."""
    kernels = compiled(cpu, "--assembly", str(folder), "--kernels", *names)
    assert all(row["instructions"] > 3 for row in kernels.values()), kernels
    executor = (folder / "run_steps.s").read_text()
    assert "\tisb\n" in executor
    assert "yield" not in executor
    # To close a run, its owner writes one word and reads another, and a helper the other way round: a load that may
    # pass an earlier store (ldapr) would have both go on.
    assert "ldar" in executor
    assert "stlr" in executor
    assert "ldapr" not in executor
    for name in ("convolve", "depthwise_rows"):
        assert "fmla" in (folder / f"{name}.s").read_text()
    return set(kernels)


def test_kernels_with_tiles_and_the_executor_compile(tmp_path: Path) -> None:
    """All take 25 s for each CPU, most of it Numba's own."""
    names = {"convolve", "depthwise_rows", "run_steps"}
    assert check_kernels("generic", tmp_path, *names) == names


def kernels_by_name() -> dict[str, Dispatcher]:
    found: dict[str, Dispatcher] = {}
    for package in KERNEL_PACKAGES:
        for info in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            for value in vars(import_module(info.name)).values():
                value = value.kernel if isinstance(value, Operation) else value
                if isinstance(value, Dispatcher):
                    found[value.py_func.__name__] = value
    return found


def test_every_kernel_has_types_to_be_compiled_with() -> None:
    """Of those that no other kernel calls, and that are no operation, whose types are always the same."""
    kernels = kernels_by_name()
    called = {name for kernel in kernels.values() for name in kernel.py_func.__code__.co_names}
    arguments = {name: inspect.signature(kernel.py_func).parameters for name, kernel in kernels.items()}
    tops = {name for name, names in arguments.items() if name not in called and tuple(names) != STEP_ARGUMENTS}
    assert len(kernels) > 60
    assert tops <= set(SIGNATURES) <= set(kernels), (tops - set(SIGNATURES), set(SIGNATURES) - set(kernels))
    for name, types in SIGNATURES.items():
        assert types.count(", ") + 1 == len(arguments[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("cpu", CPUS)
def test_every_kernel_compiles(cpu: str, tmp_path: Path) -> None:
    """None is left out: `compile_kernels` refuses those that it has no types for."""
    assert {*SIGNATURES, "convolve", "winograd_filters", "depthwise_rows"} <= check_kernels(cpu, tmp_path)


def test_how_a_loop_is_read() -> None:
    text = """
.LBB0_1:
    ldr q1, [x1]
.LBB0_2:
    ldp q2, q3, [x2], #32
    ldr x9, [sp, #16]
    str q4, [sp]
    fmla v0.4s, v2.4s, v1.s[0] // a remark
    cmp x2, x3
    b.lt .LBB0_2
    cbnz x4, .LBB0_1
    ret
"""
    loop = inner_loop(text)
    assert (loop.instructions, loop.multiplications, loop.loads, loop.spills) == (6, 1, 1, 2)


# Under qemu -------------------------------------------------------------------------------------------------------


def emulated(*arguments: str | Path, **changes: str) -> str:
    """Python of the tree; what it compiles is kept in the tree.

    Beside an installed package lies what is made for x86, so the tree has a folder with a link to the package alone.
    """
    assert TREE is not None
    link = Path(TREE, "package", "darknet_py")
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(PACKAGE)
    path = os.pathsep.join([str(TESTS), str(link.parent)])
    own = {"PYTHONPATH": path, "DARKNET_PY_CACHE_DIR": str(Path(TREE, "kernels"))}
    return run(Path(TREE, "python"), *arguments, **{**own, **changes})


@needs_tree
@pytest.mark.slow
@pytest.mark.parametrize("algorithms", ["direct", "F4,F2,S2"])
def test_the_same_bits_as_four_lanes_of_x86(algorithms: str, tmp_path: Path) -> None:
    """Tiles differ, and so does what multiplies; the order of additions does not."""
    outputs = "tests/arm64_outputs.py"
    run(sys.executable, outputs, tmp_path, DARKNET_PY_CONVOLUTION=algorithms, DARKNET_PY_LANES="4")
    emulated(outputs, tmp_path, DARKNET_PY_CONVOLUTION=algorithms)
    with np.load(tmp_path / "x86-4.npz") as x86, np.load(tmp_path / "arm64-4.npz") as arm:
        assert set(x86.files) == set(arm.files)
        assert len(x86["class"]) > 0
        for name in set(x86.files) - {"isa"}:
            np.testing.assert_array_equal(arm[name], x86[name], err_msg=name)


def check_tests(*selection: str, **changes: str) -> None:
    """Tests of this folder, run by the Python of the tree, all passed."""
    said = emulated("-m", "pytest", "-q", "-p", "no:cacheprovider", *selection, **changes)
    assert " passed" in said.splitlines()[-1], said


#: What tiles there are is decided by these; a case of them takes qemu some seconds.
TILES = {
    "test_strips.py": "",
    "test_depthwise.py": "",
    "test_chains.py": "",
    "test_algorithms.py": "not kept and not forgotten and not far_behind",
    "test_layers.py": "any_width or grouped or options or pool",
    "test_bfloat16.py": "rounding or winograd or ties or rounded_numbers or bit",
}


@needs_tree
@pytest.mark.slow
@pytest.mark.parametrize("file", TILES)
def test_tiles_on_arm(file: str) -> None:
    check_tests(f"tests/{file}", "-k", TILES[file])


@needs_tree
@pytest.mark.slow
def test_threads_on_arm() -> None:
    check_tests("tests/test_threads.py", DARKNET_PY_CONVOLUTION="F4,F2,S2")


@needs_tree
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no reference data (../shared) beside the project")
def test_golden_cases_on_arm() -> None:
    check_tests("tests/test_golden.py", "-m", "not slow", "-k", "synth", DARKNET_PY_CONVOLUTION="F4,F2,S2")


@needs_tree
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no reference data (../shared) beside the project")
def test_a_real_model_on_arm() -> None:
    test = "tests/test_real_models.py::test_boxes_on_some_photos"
    check_tests(f"{test}[yolo-fastest-1.1]", DARKNET_PY_CONVOLUTION="F4,F2,S2")
