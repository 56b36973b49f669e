"""The same network in every runtime's format: weights, ONNX, what pnnx makes of it, and the blob all of them get."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers import PeerError, Runtime
from PIL import Image

from darknet_py.errors import UnsupportedError
from darknet_py.graph import Graph, load_graph
from darknet_py.onnx_export import export_onnx, write_onnx
from darknet_py.shipped import resolve_cfg, shipped
from darknet_py.weights import SeededWeights, WeightsFile

__all__ = ["Model", "prepare", "read_graph"]

#: Finds and runs the converter that the pnnx package carries, wherever it is installed.
_PNNX = "import pnnx, subprocess, sys; sys.exit(subprocess.call([pnnx.EXEC_PATH, *sys.argv[1:]]))"
_PNNX_SECONDS = 600


class MissingFormatError(Exception):
    """A format cannot be made; the message is the reason."""


@dataclass(frozen=True)
class Model:
    """A network at one size, its files by the names that ``runtimes/`` use, and why a format is missing."""

    name: str
    graph: Graph
    weights: str
    files: dict[str, Any]
    missing: dict[str, str]

    @property
    def size(self) -> str:
        return f"{self.graph.blob.w}x{self.graph.blob.h}"

    def require(self, runtime: Runtime) -> None:
        """Raise PeerError with the reason if the format that `runtime` reads is missing."""
        if runtime.reads in self.missing:
            raise PeerError(self.missing[runtime.reads])


def read_graph(text: str) -> tuple[Path, Graph]:
    """The cfg file that ``NAME[@SIZE]`` means, and its graph at that size; a DarknetError if there is none."""
    name, _, size = text.partition("@")
    cfg = resolve_cfg(name)
    return cfg, load_graph(cfg, _parse_size(size) if size else None)


def prepare(
    text: str,
    given: dict[str, str],
    folder: Path,
    formats: Collection[str],
    pnnx_python: str = sys.executable,
    darknet: str | None = None,
) -> Model:
    """Write every file that runtimes need for one model.

    Parameters
    ----------
    text : str
        ``NAME[@SIZE]``: a cfg or shipped model, and the input (416 or 608x352) instead of the cfg's.
    given : dict of str to str
        Weights files by model name; others are generated from a seed, which takes the same time to run.
    folder : Path
        Where the files go.
    formats : collection of str
        Of "onnx" (two forms of Mish), "pnnx" (what it makes of that) and "program" (what AlexeyAB's program wants).
    pnnx_python : str
        An interpreter with pnnx.
    darknet : str, optional
        AlexeyAB's program.
    """
    name = text.partition("@")[0]
    cfg, graph = read_graph(text)
    folder = folder / f"{cfg.stem}@{graph.blob.w}x{graph.blob.h}"
    folder.mkdir(parents=True, exist_ok=True)
    found = given.get(name) or shipped(f"{cfg.stem}.weights")
    weights = Path(found).resolve() if found else folder / "seeded.weights"
    if not found:
        _write_seeded(graph, weights)
    rng = np.random.default_rng(0)
    blob = rng.integers(0, 256, (1, *graph.blob), np.uint8)
    np.save(folder / "blob.npy", blob.astype(np.float32) / np.float32(255))
    files: dict[str, Any] = {
        "cfg": str(cfg.resolve()),
        "cfg_at_size": str(_cfg_at_size(cfg, graph, folder)),
        "weights": str(weights),
        "blob": str(folder / "blob.npy"),
        "heads": [head.index for head in graph.heads],
    }
    missing: dict[str, str] = {}
    if {"onnx", "pnnx"} & set(formats):
        with _noting(missing, "onnx", "pnnx"):
            files |= _onnx_files(graph, weights, folder)
    if "pnnx" in formats and "pnnx" not in missing:
        with _noting(missing, "pnnx"):
            files |= _pnnx_files(graph, Path(files["onnx_mish"]), folder, pnnx_python)
    if "program" in formats:
        with _noting(missing, "program"):
            files |= _darknet_files(graph, blob, folder, darknet)
    return Model(cfg.stem, graph, str(found or "seeded"), files, missing)


@contextmanager
def _noting(missing: dict[str, str], *formats: str) -> Iterator[None]:
    """Turn the reason why a format cannot be made into an entry of `missing`."""
    try:
        yield
    except (MissingFormatError, UnsupportedError) as error:
        missing |= dict.fromkeys(formats, str(error))


def _parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height or width)


def _write_seeded(graph: Graph, path: Path) -> None:
    """Darknet's layout: header 0.2.5, then every layer's arrays in file order."""
    source = SeededWeights(graph)
    with path.open("wb") as file:
        file.write(struct.pack("<iiiQ", 0, 2, 5, 0))
        for layer in graph.layers:
            arrays = source.arrays(layer)
            for parameter in layer.parameters:
                file.write(np.ascontiguousarray(arrays[parameter.name], "<f4"))


def _cfg_at_size(cfg: Path, graph: Graph, folder: Path) -> Path:
    """A copy with the size in [net], for readers that take it only from there."""
    text = cfg.read_text(encoding="utf-8", errors="replace")
    for key, value in (("width", graph.blob.w), ("height", graph.blob.h), ("batch", 1), ("subdivisions", 1)):
        text, count = re.subn(rf"(?m)^\s*{key}\s*=.*$", f"{key}={value}", text, count=1)
        if not count:
            text = re.sub(r"(?m)^\s*\[net(work)?\]\s*$", rf"\g<0>\n{key}={value}", text, count=1)
    path = folder / f"{cfg.stem}.cfg"
    path.write_text(text, encoding="utf-8")
    return path


def _onnx_files(graph: Graph, weights: Path, folder: Path) -> dict[str, str]:
    """The two forms of Mish, each for the runtimes that run it faster; one file where there is no Mish."""
    files = {}
    has_mish = any(getattr(layer, "activation", "") == "mish" for layer in graph.layers)
    with WeightsFile(weights, graph) as source:
        for key, mish in (("onnx", "arithmetic"), ("onnx_mish", "operator")) if has_mish else (("onnx", "arithmetic"),):
            files[key] = str(folder / f"{mish}.onnx")
            write_onnx(export_onnx(graph, source, mish=mish), files[key])
    return {"onnx_mish": files["onnx"], **files}


def _pnnx_files(graph: Graph, model: Path, folder: Path, python: str) -> dict[str, str]:
    """pnnx writes beside the model, under its name without the suffix and the dots in it."""
    shape = ",".join(map(str, (1, *graph.blob)))
    source = folder / "converted.onnx"
    shutil.copyfile(model, source)
    try:
        done = subprocess.run(
            [python, "-c", _PNNX, source.name, f"inputshape=[{shape}]f32", "fp16=0"],
            cwd=folder, capture_output=True, text=True, timeout=_PNNX_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingFormatError(f"pnnx: {error}") from error
    made = {
        "ncnn_param": "converted.ncnn.param",
        "ncnn_bin": "converted.ncnn.bin",
        "torch_module": "converted_pnnx.py",
    }
    if done.returncode or not all((folder / file).is_file() for file in made.values()):
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["it wrote nothing"]
        raise MissingFormatError(f"pnnx cannot convert the model: {last[0]}")
    return {key: str(folder / file) for key, file in made.items()}


def _darknet_files(graph: Graph, blob: np.ndarray, folder: Path, darknet: str | None) -> dict[str, str]:
    if darknet is None:
        raise MissingFormatError("no program named: --darknet PATH")
    if not graph.heads:
        raise MissingFormatError("its detector test needs a network with heads")
    classes = max(head.classes for head in graph.heads)  # type: ignore[attr-defined]
    (folder / "classes.names").write_text("".join(f"class{i}\n" for i in range(classes)))
    (folder / "classes.data").write_text(f"classes={classes}\nnames=classes.names\n")
    Image.fromarray(np.ascontiguousarray(blob[0].transpose(1, 2, 0))).save(folder / "blob.png")
    program = str(Path(darknet).resolve())
    return {"darknet": program, "data": str(folder / "classes.data"), "image": str(folder / "blob.png")}
