"""What int8 would give before anybody builds it: arithmetic per second, and average precision lost by rounding to it.

Usage: ``python benchmarks/int8.py [FOLDER --model CFG WEIGHTS NAMES ...]``

The first table times multiply-adds on registers in the convolutions' tile: float32, bfloat16 (vdpbf16ps) and int8
(vpdpbusd), where the CPU has them. The second rounds the weights of every convolution with batch norm folded (int8, a
scale per filter) and its input (uint8, a range per layer, from the first photos) in a PyTorch copy of the network, and
compares AP on the labelled photos of FOLDER (as for accuracy.py) with that of float32.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from accuracy import Photos
from average_precision import average_precisions
from llvmlite import ir
from machine import describe_machine
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from darknet_py.graph import load_graph
from darknet_py.kernels.jit import LANES, kernel
from darknet_py.kernels.tiles.register import BLOCKS, PIXELS
from darknet_py.kernels.vector.lanes import I32, I64, Lanes
from darknet_py.names import load_names
from darknet_py.weights import WeightsFile

_ROUNDS = 3_000_000
#: Photos that give the ranges of activations.
_CALIBRATION = 16


def _tile_of(step: Callable[[Lanes, ir.Value, ir.Value], ir.Value], starts_integer: bool) -> Callable[..., Any]:
    """Code of a loop with one multiply-add on every accumulator of the tile, all independent of each other."""

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        v = Lanes(builder, LANES)
        kind = v.int_type if starts_integer else v.type
        accumulators = [cgutils.alloca_once_value(builder, ir.Constant(kind, None)) for _ in range(PIXELS * BLOCKS)]
        # Not a constant, or LLVM would compute the loop itself.
        count = builder.trunc(args[0], I32)
        operand = builder.insert_element(v.int_constant(0x3F803F80), count, ir.Constant(I32, 0))
        with cgutils.for_range(builder, args[0], intp=I64):
            for accumulator in accumulators:
                builder.store(step(v, operand, builder.load(accumulator)), accumulator)
        total = builder.load(accumulators[0])
        for accumulator in accumulators[1:]:
            value = builder.load(accumulator)
            total = builder.add(total, value) if starts_integer else builder.fadd(total, value)
        first = builder.extract_element(total, ir.Constant(I32, 0))
        return builder.sitofp(first, ir.FloatType()) if starts_integer else first

    return codegen


def _bytes(v: Lanes, operand: ir.Value, accumulator: ir.Value) -> ir.Value:
    function = cgutils.get_or_insert_function(
        v.builder.module, ir.FunctionType(v.int_type, [v.int_type] * 3), "llvm.x86.avx512.vpdpbusd.512"
    )
    return v.builder.call(function, [accumulator, operand, operand])


@intrinsic
def _float_tile(typingctx: Any, count: Any) -> Any:
    return types.float32(types.int64), _tile_of(
        lambda v, x, a: v.fma(v.builder.bitcast(x, v.type), v.builder.bitcast(x, v.type), a), False
    )


@intrinsic
def _pair_tile(typingctx: Any, count: Any) -> Any:
    return types.float32(types.int64), _tile_of(lambda v, x, a: v.add_pairs(x, x, a), False)


@intrinsic
def _byte_tile(typingctx: Any, count: Any) -> Any:
    return types.float32(types.int64), _tile_of(_bytes, True)


@kernel
def _run_floats(count):  # type: ignore[no-untyped-def]
    return _float_tile(count)


@kernel
def _run_pairs(count):  # type: ignore[no-untyped-def]
    return _pair_tile(count)


@kernel
def _run_bytes(count):  # type: ignore[no-untyped-def]
    return _byte_tile(count)


#: Precision → loop, products per lane, the CPU feature it needs.
_TILES: dict[str, tuple[Any, int, str | None]] = {
    "float32": (_run_floats, 1, None),
    "bfloat16": (_run_pairs, 2, "avx512bf16"),
    "int8": (_run_bytes, 4, "avx512vnni"),
}


def measure_arithmetic() -> dict[str, float]:
    """10^9 multiplications and additions per second on one thread by precision, taking turns; the best of each."""
    features = llvm.get_host_cpu_features()
    able = {name: row for name, row in _TILES.items() if LANES == 16 and (row[2] is None or features.get(row[2]))}
    best = dict.fromkeys(able, 0.0)
    for turn in range(6):
        for name, (run, products, _) in able.items():
            start = time.perf_counter()
            run(_ROUNDS)
            seconds = time.perf_counter() - start
            if turn:  # the first turn compiles
                best[name] = max(best[name], 2e-9 * products * PIXELS * BLOCKS * LANES * _ROUNDS / seconds)
    return best


def measure_accuracy(folder: Path, cfg: Path, weights: Path, names: Path) -> dict[str, dict[str, float]]:
    """AP50, AP75 and AP of float32 and of int8 on the labelled photos of `folder`."""
    import torch

    from training.network import DarknetModule

    graph = load_graph(cfg)
    photos = Photos(folder, graph, load_names(names))
    network = DarknetModule(graph).eval()
    with WeightsFile(weights, graph) as source:
        network.load_arrays(source)
    figures = {}
    with torch.no_grad():
        figures["float32"] = _precision_of(network, photos)
        ranges = _Ranges(network)
        blobs = next(iter(photos.blobs()))[:_CALIBRATION]
        network(torch.from_numpy(np.ascontiguousarray(blobs)))
        ranges.quantise()
        figures["int8"] = _precision_of(network, photos)
    return figures


def _precision_of(network: Any, photos: Photos) -> dict[str, float]:
    import torch

    heads = [head.index for head in network.graph.heads]
    found = [network.taps(torch.from_numpy(np.ascontiguousarray(blobs))) for blobs in photos.blobs()]
    outputs = [np.concatenate([taps[index].numpy() for taps in found]) for index in heads]
    return average_precisions(photos.detections(outputs), photos.truth)


class _Ranges:
    """Notes the range of every convolution's input, then rounds inputs and weights to 8 bits."""

    def __init__(self, network: Any) -> None:
        from training.layers import Convolution

        # The first layer has too few channels to gain, and heads read what it costs most to round: usual practice.
        parts = [part for part in network.modules() if isinstance(part, Convolution)]
        heads = {head.inputs[0] for head in network.graph.heads}
        last = {id(network.layers[index]) for index in heads}
        self._parts = [part for part in parts[1:] if id(part) not in last]
        self._limits: dict[int, tuple[float, float]] = {}
        self._hooks = [part.register_forward_pre_hook(self._note) for part in self._parts]

    def _note(self, part: Any, inputs: Any) -> None:
        values = inputs[0]
        # The outermost ten-thousandth is cut off: a single spike would cost everybody else precision.
        ordered = values.flatten()[:: max(1, values.numel() // 1_000_000)].sort().values
        cut = len(ordered) // 10_000
        self._limits[id(part)] = (min(0.0, float(ordered[cut])), float(ordered[-1 - cut]))

    def quantise(self) -> None:
        for hook in self._hooks:
            hook.remove()
        for part in self._parts:
            part.register_forward_pre_hook(self._round_input)
            weights = part.conv.weight
            # A scale per filter: batch norm's factor would not change what is rounded.
            step = weights.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12) / 127
            weights.copy_((weights / step).round() * step)

    def _round_input(self, part: Any, inputs: Any) -> Any:
        low, high = self._limits[id(part)]
        step = max(high - low, 1e-12) / 255
        return (((inputs[0] - low) / step).round().clamp(0, 255) * step + low,)


def main() -> None:
    """Print both tables and write them to the folder of results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="labelled photos: images/, labels/, a .names file")
    parser.add_argument("--model", nargs=3, type=Path, action="append", default=[], metavar=("CFG", "WEIGHTS", "NAMES"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    options = parser.parse_args()
    speed = measure_arithmetic()
    accuracy = {
        cfg.stem: measure_accuracy(options.folder, cfg, weights, names) for cfg, weights, names in options.model
    }
    report = format_report(speed, accuracy)
    print(report)
    results = {"machine": describe_machine(), "gflops": speed, "accuracy": accuracy}
    (options.out / "int8.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "int8.md").write_text(report + "\n")


def format_report(speed: dict[str, float], accuracy: dict[str, dict[str, dict[str, float]]]) -> str:
    """Both tables, Markdown."""
    lines = ["| precision | GFLOP/s on registers, one thread | of float32 |", "|---|---|---|"]
    lines += [f"| {name} | {value:.0f} | {value / speed['float32']:.2f} |" for name, value in speed.items()]
    if accuracy:
        lines += ["", "| model | precision | AP50 | AP75 | AP |", "|---|---|---|---|---|"]
    for model, rows in accuracy.items():
        for name, row in rows.items():
            values = " | ".join(f"{row[key]:.3f}" for key in ("AP50", "AP75", "AP"))
            lines.append(f"| {model} | {name} | {values} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
