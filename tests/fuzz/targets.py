"""What is given bytes: each target reads them as a stranger's file would be, and lets only the package's errors pass.

What else comes out of one is a finding. `watched` adds what is one too though nothing is raised: more than two seconds
of computing, and memory beyond what `LIMITS` leave.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from darknet_py import DarknetError
from darknet_py.boxes.decode import decode
from darknet_py.boxes.selection import Selection, select
from darknet_py.cfg import parse_cfg, parse_cfg_bytes
from darknet_py.graph import Graph, build_graph
from darknet_py.image import load_image
from darknet_py.layers.tree import read_tree
from darknet_py.names import find_names, load_names, names_of_data, read_data
from darknet_py.network import Network
from darknet_py.pictures.geometry import Geometry
from darknet_py.summary import summarize
from darknet_py.weights import SeededWeights, WeightsFile
from fuzz.commands import run_options
from fuzz.limits import LIMITS
from fuzz.names import CONTAINERS
from fuzz.seeds import HEADS_CFG, WEIGHTS_CFGS, cfg_of

__all__ = ["TARGETS", "Beyond", "watched"]

#: Of the process's own time: it may be stopped for any while.
SECONDS = 2.0
#: Above what it takes at its start. A picture of the most pixels is 3 MB, and decoders make a few copies of it.
BYTES = 768 << 20

#: Nobody reads more.
LONGEST_MESSAGE = 4000

#: Networks that are run, not only described.
_MOST_TO_RUN = 1 << 16

_folder = Path(tempfile.mkdtemp(prefix="fuzz", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


class Beyond(Exception):
    """Time or memory that no file may take."""


def _written(name: str, data: bytes) -> Path:
    path = _folder / name
    path.write_bytes(data)
    return path


def _cfg(data: bytes) -> None:
    """A cfg's text: sections, graph, all that `inspect` shows."""
    _describe(build_graph(parse_cfg_bytes(data, "fuzz.cfg")))


def _describe(graph: Graph) -> None:
    assert graph.stride >= 1 and graph.activation_bytes >= 0 and graph.parameter_count >= 0
    assert not graph.heads or len(graph.strides) == 2
    if len(graph.layers) <= 30:
        summarize(graph)


def _structured(data: bytes) -> None:
    """A cfg of known sections with values of all kinds; run where it is small: directly and by default, the same."""
    graph = build_graph(parse_cfg(cfg_of(data), "fuzz.cfg"))
    _describe(graph)
    work = sum(layer.shape.size for layer in graph.layers) + graph.parameter_count
    if work + graph.blob.size > _MOST_TO_RUN or graph.bflops > 0.002 or len(graph.layers) > 12:
        return
    blob = np.random.default_rng(0).random(graph.blob, np.float32)
    results = [
        Network(graph, SeededWeights(graph, 1), exact=exact, threads=1 + exact).run(np.stack([blob] * 2))
        for exact in (False, True)
    ]
    for fast, exact in zip(*results, strict=True):
        assert np.array_equal(exact[0], exact[1], equal_nan=True), "pictures of a batch differ"
        assert fast.shape == exact.shape and fast.dtype == np.float32


_weights_graphs = [build_graph(parse_cfg(text, f"weights{n}.cfg")) for n, text in enumerate(WEIGHTS_CFGS)]


def _weights(data: bytes) -> None:
    """A weights file of a network that the first byte chooses, from memory and from disk."""
    graph, data = _weights_graphs[data[0] % len(_weights_graphs) if data else 0], data[1:]
    with WeightsFile(data, graph) as weights:
        values = [array for layer in graph.layers for array in weights.arrays(layer).values()]
    assert sum(array.size for array in values) == graph.parameter_count
    if data and data[-1] % 16 == 0:
        with WeightsFile(_written("fuzz.weights", data), graph) as other:
            for layer in graph.layers:
                shapes = {name: array.shape for name, array in other.arrays(layer).items()}
                assert shapes == {parameter.name: parameter.shape for parameter in layer.parameters}


def _names(data: bytes) -> None:
    """A list of names, given and found beside a cfg."""
    path = _written("fuzz.names", data)
    for ask in (lambda: load_names(path), lambda: find_names(_folder / "fuzz.cfg", 3), lambda: _data_of(path)):
        try:
            ask()
        except DarknetError:
            continue


def _data_of(path: Path) -> list[Path]:
    return [place for anywhere in (False, True) for place in names_of_data(path, read_data(path), anywhere=anywhere)]


def _data(data: bytes) -> None:
    """A ``.data`` file, given in place of names and found beside a cfg; it points to nothing, or to a list."""
    path = _written("other.data", data)
    _written("list.names", b"a\nb\nc\n")
    for place in _data_of(path):
        assert isinstance(os.fspath(place), str)
    found = find_names(_folder / "other.cfg", 3)
    assert len(found) == 3
    find_names(_folder / "other.cfg", 3, names=path)


def _tree(data: bytes) -> None:
    """A word tree, and a head that has it."""
    _written("fuzz.tree", data)
    section = parse_cfg(f"[region]\ntree=fuzz.tree\nclasses={data[:1].hex() or 3}\n", str(_folder / "tree.cfg"))[0]
    tree = read_tree(section)
    assert tree is not None and sum(count for _, count in tree.groups) == len(tree.parents)


_heads_graph = build_graph(parse_cfg(HEADS_CFG, "heads.cfg"))
_most_values = max(layer.shape.size for layer in _heads_graph.heads)


def _heads(data: bytes) -> None:
    """Any bits as the output of heads of every kind: boxes of any of them, and NMS."""
    data = data.ljust(8, b"\0")
    thresh, nms, kind = data[0] / 255, data[1] / 255, data[2]
    values = np.resize(np.frombuffer(data[4 : len(data) // 4 * 4], np.float32), _most_values)
    heads = [
        (layer, values[: layer.shape.size].reshape(h, w, c).copy())
        for layer in _heads_graph.heads
        for c, h, w in [layer.shape]
    ]
    found = decode(heads, Geometry(640, 48, 96, 64, bool(kind & 1)), thresh)
    wanted = Selection(thresh, nms, agnostic=bool(kind & 2), single_class=bool(kind & 4))
    wanted = wanted._replace(classes=(0,) if kind & 32 else None)
    name = ("default", "greedynms", "diounms", "cornersnms")[kind >> 3 & 3]
    assert len(select(found, wanted, kind=name, beta=0.6)) <= len(found)


def _picture(magic: bytes) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        """A file that begins as a container does; its pixels, as colours and as grey."""
        data = magic + data[len(magic) :]
        for channels in (3, 1):
            pixels = load_image(data, channels=channels)
            assert pixels.dtype == np.uint8 and pixels.size and pixels.flags.c_contiguous
            assert pixels.ndim == 3 and pixels.shape[0] * pixels.shape[1] <= int(LIMITS["DARKNET_PY_MAX_PIXELS"])

    return read


def _any_picture(data: bytes) -> None:
    """Whatever: a TGA has no magic bytes."""
    load_image(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "cfg": _cfg,
    "structured": _structured,
    "weights": _weights,
    "names": _names,
    "data": _data,
    "tree": _tree,
    "heads": _heads,
    "options": run_options,
    "picture": _any_picture,
    **{f"picture-{name}": _picture(magic) for name, magic in CONTAINERS.items()},
}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


_start: list[int] = []


def _again(target: Callable[[bytes], None], data: bytes) -> None:
    """Once more, with all kernels compiled."""
    begun = time.process_time()
    with suppress(DarknetError):
        target(data)
    if time.process_time() - begun > SECONDS:
        raise Beyond(f"{time.process_time() - begun:.1f} s of computing")


def watched(target: Callable[[bytes], None], data: bytes) -> None:
    """Run a target.

    Raises
    ------
    Exception
        Whatever is not the package's error; `Beyond` for time and memory.
    """
    if not _start:
        _start.append(_peak_bytes())
    begun = time.process_time()
    try:
        target(data)
    except DarknetError as error:
        length = len(str(error).strip())
        if not 0 < length < LONGEST_MESSAGE:
            raise AssertionError(f"a message of {length} characters") from error
    if time.process_time() - begun > SECONDS:
        _again(target, data)
    if _peak_bytes() > _start[0] + BYTES:
        _start[0] = _peak_bytes()
        raise Beyond(f"{_peak_bytes() >> 20} MB of memory")
