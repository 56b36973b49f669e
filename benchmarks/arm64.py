"""Machine code for ARM CPUs, made on any machine, and what llvm-mca estimates of it where there is no such CPU.

Usage: ``python benchmarks/arm64.py CPU [--all] [--kernels [NAME ...]] [--mca PROGRAM] [--assembly FOLDER] [--json]``

Prints what the inner loop of each register tile of dense convolutions is made of; `--mca llvm-mca` adds how many of
its multiplications (fmla, of four floats) begin in each cycle. CPU is LLVM's name of one, such as neoverse-n1 or
generic. With `--kernels`, kernels are compiled instead, and their instructions counted.

llvmlite generates code for every architecture. Numba asks it for this machine's; that is answered with another's here,
before anything of darknet_py is imported. What is compiled is never loaded.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

TRIPLE = "aarch64-unknown-linux-gnu"
NO_BACK_END = "this build of llvmlite generates no code for ARM"

#: Argument types of the kernels that are called from Python; those of a step are called with three integers.
SIGNATURES = {
    "best_classes": "f4[:,::1], f8, i8[::1], i4[::1], f4[::1]",
    "count_objects": "f4[:,:,::1], i8, i8, i8, f8",
    "fill_detection": "f4[::1], i8, i8, b1, i8, f8, i8, f4[:,::1], f4[::1], f4[:,::1]",
    "fill_entries": "f4[:,::1], f4[::1], f4[:,::1], i8, i8, f4[:,::1], f4[::1], i8[::1], f4[::1]",
    "fill_gaussian": "f4[:,:,::1], f4[:,::1], i8, i8, f8, i8, f8, i8, f4[:,::1], f4[::1], f4[:,::1]",
    "fill_region": "f4[:,:,::1], f4[:,::1], i8, b1, i8[::1], i8, f8, i8, f4[:,::1], f4[::1], f4[:,::1]",
    "fill_yolo": "f4[:,:,::1], f4[:,::1], i8, i8, b1, i8, f8, i8, f4[:,::1], f4[::1], f4[:,::1]",
    "match_boxes": "f8[:,::1], f8[::1], u1[::1], u1[::1], u1[::1], u1[:,::1], u1[:,::1]",
    "multiply_registers": "i8",
    "open_run": "i8, i8",
    "pack_block": "f4[:,:,:,::1], f8[::1], i8, i8, i8, i8, i8, i8, b1, f4[::1]",
    "pair_rows": "f4[:,::1], u4[:,::1], u2[:,::1]",
    "region_rows": "f4[:,:,::1], f4[:,::1], b1, f8, f4[:,::1]",
    "run_steps": "i8, i8, i8, i8, i8, i8, i8",
    "scale_to_unit": "u1[:,::1], f4[::1], i8, i8, i8, f4[::1]",
    "suppress_boxes": "f4[:,::1], f4[::1], f4[:,::1], i8, f4, b1, f8, i8[::1], f4[:,::1], f4[:,::1], i8[::1]",
    "suppress_rows": "f4[:,::1], f8, i8[::1], i8[::1]",
    "to_pixels": "i8, i8, i8, i8, i8, i8, i8",
    "to_planes": "i8, i8, i8, i8, i8, i8, i8",
    "transform_weights": "f4[:,:,:,::1], f8[::1], i8, i8, f8[:,::1], f8[:,::1], f4[:,:,::1]",
    "undo_filters": "u1[:,::1], i8, u1[::1], u1[:,::1]",
    "yolo_rows": "f4[:,:,::1], f4[:,::1], i8, i8, b1, f8, f4[:,::1]",
}
STEP_ARGUMENTS = ("address", "task", "scratch")
#: Steps of these are made for matrix tiles alone, of 16 lanes: for less it cannot even be compiled.
_NEVER = ("round_image",)


class _NoFeatures(dict[str, bool]):
    """What LLVM says of the host: the name of a CPU alone decides."""

    def flatten(self, sort: bool = True) -> str:
        return ""


def pretend(cpu: str) -> list[Any]:
    """Have Numba compile for `cpu`; all kernels that are made from now on, a list that grows."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        llvm.Target.from_triple(TRIPLE)
    except RuntimeError:
        raise SystemExit(NO_BACK_END) from None
    llvm.get_process_triple = lambda: TRIPLE
    llvm.get_host_cpu_name = lambda: cpu
    llvm.get_host_cpu_features = _NoFeatures
    from numba.core import codegen
    from numba.core.caching import NullCache

    codegen.JITCPUCodegen._add_module = lambda self, module: None
    codegen.JITCPUCodegen.set_env = lambda self, name, env: None
    codegen.JITCodeLibrary._finalize_specific = lambda self: None
    from darknet_py.kernels import jit

    made: list[Any] = []
    kernel = jit.kernel

    def remember(function: Callable[..., Any]) -> Any:
        compiled = kernel(function)
        compiled._cache = NullCache()
        made.append(compiled)
        return compiled

    jit.kernel = remember
    if (jit.TARGET.isa, jit.TARGET.cpu, jit.TARGET.problem) != ("arm64", cpu, ""):
        raise SystemExit(f"Numba's settings decide on another target, {jit.TARGET}: unset them")
    return made


def _assembly(function: Any, signature: str) -> str:
    """Of a kernel, whose module LLVM has verified after optimising it together with what it calls."""
    from numba import from_dtype
    from numba.core.sigutils import normalize_signature

    from darknet_py.kernels.ops.step import STEP

    types, _ = normalize_signature(f"void({signature.removeprefix('STEP[::1], ')})")
    if signature.startswith("STEP"):
        types = (from_dtype(STEP)[::1], *types)
    function.compile(types)
    text: str = function.overloads[types].library.get_asm_str()
    return text


def compile_kernels(made: list[Any], names: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Name and assembly of kernels; without names, of all that are not called by kernels alone: those hold the rest."""
    from darknet_py.kernels.jit import KERNEL_PACKAGES

    for package in KERNEL_PACKAGES:
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            import_module(module.name)
    for function in made:
        code = function.py_func.__code__
        signature = SIGNATURES.get(function.__name__)
        if code.co_varnames[: code.co_argcount] == STEP_ARGUMENTS:
            signature = "i8, i8, i8" if function.__name__ not in _NEVER else None
        if signature is not None and (not names or function.__name__ in names):
            yield function.__name__, _assembly(function, signature)
    left = [function.__name__ for function in made if not function.overloads and function.__name__ not in _NEVER]
    if left and not names:
        raise SystemExit(f"compiled for no types, add them to SIGNATURES: {', '.join(left)}")


def compile_tiles(every: bool) -> Iterator[tuple[str, str]]:
    """Name and assembly of the register tiles; without `every`, of those of full height."""
    from darknet_py.kernels.tiles.register import BLOCKS, DERIVED, HEIGHTS, KINDS
    from darknet_py.kernels.vector.formats import format_of_code

    kinds = {format_of_code(kind).name: kind for kind in KINDS} | ({"derived": DERIVED} if every else {})
    for name, kind in kinds.items():
        for pixels in HEIGHTS if every else HEIGHTS[:1]:
            for vectors in (BLOCKS, 1):
                yield f"{name} {pixels}x{vectors}", _assembly(_tile(kind, pixels, vectors), "UniTuple(i8, 15)")


def _tile(kind: int, pixels: int, vectors: int) -> Any:
    import numba
    from numba import types
    from numba.extending import intrinsic

    from darknet_py.kernels.jit import LANES
    from darknet_py.kernels.tiles.register import Operands, emit_tile
    from darknet_py.kernels.vector.lanes import Lanes

    def emit(typingctx: Any, operands: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = [builder.extract_value(args[0], n) for n in range(15)]
            emit_tile(Lanes(builder, LANES), kind, (pixels, vectors), Operands(*values))
            return context.get_dummy_value()

        return types.void(operands), codegen

    tile = intrinsic(emit)
    return numba.njit(nogil=True, error_model="numpy")(lambda operands: tile(operands))


@dataclass(frozen=True)
class Loop:
    """What an inner loop is made of; `spills` are the instructions that touch the stack."""

    instructions: int
    multiplications: int
    loads: int
    spills: int
    text: str


def inner_loop(assembly: str) -> Loop:
    """The loop with most multiplications of those that hold no other loop."""
    lines = [line.split("//")[0].strip() for line in assembly.splitlines()]
    labels = {line[:-1]: n for n, line in enumerate(lines) if re.fullmatch(r"\.L\w+:", line)}
    loops = []
    for n, line in enumerate(lines):
        branch = re.match(r"(?:b|b\.\w+|cbn?z|tbn?z)\s(?:.*\s)?(\.L\w+)$", line)
        if branch and labels.get(branch[1], n) < n:
            loops.append((labels[branch[1]], n))
    innermost = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    found = []
    for first, last in innermost:
        body = [line for line in lines[first : last + 1] if line and not line.startswith(".")]
        multiplications = sum(line.startswith("fmla") for line in body)
        loads = sum(re.match(r"ld\w+\s+\{?\s*[qvds]\d", line) is not None for line in body)
        spills = sum("[sp" in line for line in body)
        found.append(Loop(len(body), multiplications, loads, spills, "\n".join(body)))
    return max(found, key=lambda loop: loop.multiplications)


def estimate(loop: Loop, cpu: str, program: str) -> float:
    """Multiplications per cycle, by llvm-mca: all loads hit the first-level cache."""
    command = [program, "-mtriple", TRIPLE, f"-mcpu={cpu}", "-iterations=200"]
    code = "\n".join(line for line in loop.text.splitlines() if not re.match(r"(b|b\.\w+|cbn?z|tbn?z)\s", line))
    said = subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Total Cycles:\s+(\d+)", said)
    if found is None:
        raise SystemExit(f"{program} says no number of cycles")
    return 200 * loop.multiplications / int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cpu")
    parser.add_argument("--kernels", nargs="*", metavar="NAME", help="compile these kernels instead, or all")
    parser.add_argument("--all", action="store_true", help="tiles of every height, and those of Winograd's weights")
    parser.add_argument("--mca", metavar="PROGRAM", help="llvm-mca, to estimate multiplications per cycle")
    parser.add_argument("--assembly", type=Path, metavar="FOLDER", help="write assembly there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    made = pretend(options.cpu)
    codes = dict(compile_kernels(made, options.kernels) if options.kernels is not None else compile_tiles(options.all))
    if options.assembly is not None:
        options.assembly.mkdir(parents=True, exist_ok=True)
        for name, code in codes.items():
            (options.assembly / f"{name}.s").write_text(code)
    if options.kernels is not None:
        rows = {name: {"instructions": len(re.findall(r"^\t[a-z]", code, re.M))} for name, code in codes.items()}
    else:
        rows = {}
        for name, code in codes.items():
            loop = inner_loop(code)
            rows[name] = {key: value for key, value in asdict(loop).items() if key != "text"}
            if options.mca:
                rows[name]["per_cycle"] = round(estimate(loop, options.cpu, options.mca), 2)
    if options.json:
        print(json.dumps(rows))
        return
    for name, row in rows.items():
        print(f"{name:20}", "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
