"""How kernels are compiled and kept: every vector width, the disk cache, places that cannot be written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import darknet_py
from darknet_py.kernels.jit import MATRIX_TILES

TESTS = Path(__file__).parent
PACKAGE = Path(darknet_py.__file__).parents[1]

#: A network with a bit of everything, compared with the naive layers; then what the cache did.
SCRIPT = """
import sys, tempfile
from pathlib import Path
from networks import TinyNetwork, check
from darknet_py.kernels.ops import OPERATIONS
from darknet_py.kernels.execute import run_steps
from darknet_py.kernels.jit import LANES, cache_directory
from darknet_py.image import to_blob
import naive_image
import numpy as np

for channels, filters in ((3, 17), (9, 40)):
    tiny = TinyNetwork((channels, 9, 14), seed=channels)
    tiny.add("convolutional", {"filters": filters, "size": 3, "pad": 1, "activation": "mish", "batch_normalize": 1})
    tiny.add("convolutional", {"filters": filters, "size": 3, "pad": 1, "groups": filters, "activation": "leaky"})
    tiny.add("convolutional", {"filters": filters, "size": 1, "activation": "logistic"})
    tiny.add("shortcut", {"from": 0, "activation": "swish"})
    tiny.add("maxpool", {"size": 3, "stride": 2})
    tiny.add("upsample", {"stride": 2})
    tiny.add("maxpool", {"size": 2, "stride": 2})
    tiny.add("route", {"layers": "-1,-3"})
    tiny.add("avgpool")
    tiny.add("connected", {"output": 5})
    tiny.add("softmax")
    check(tiny, Path(tempfile.mkdtemp()))
pixels = np.random.default_rng(1).integers(0, 256, (14, 31, 3), np.uint8)
expected = naive_image.resize_image(naive_image.unit_floats(pixels), 17, 9)
np.testing.assert_array_equal(to_blob(pixels, 17, 9), expected)
stats = run_steps.stats
most = max(len(operation.kernel.signatures) for operation in OPERATIONS.values())
print(LANES, cache_directory(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), most)
"""


def environment(**changes: str) -> dict[str, str]:
    """This environment without what moves the cache or the vector width, plus `changes`; tests can be imported."""
    dropped = ("DARKNET_PY_AMX", "DARKNET_PY_CACHE_DIR", "DARKNET_PY_LANES", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    path = os.pathsep.join([str(TESTS), str(PACKAGE), kept.get("PYTHONPATH", "")])
    return {**kept, "PYTHONPATH": path, **changes}


def run(script: str, **changes: str) -> list[str]:
    """Words that the last line of `script` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment(**changes), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.fixture(scope="module", params=["8", "4"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, list[str]]:
    """Lanes, a cache directory that was empty, and what the first process said that filled it."""
    cache = tmp_path_factory.mktemp("cache")
    return request.param, cache, run(SCRIPT, DARKNET_PY_LANES=request.param, DARKNET_PY_CACHE_DIR=str(cache))


def test_every_vector_width_and_a_second_process_compiles_nothing(compiled: tuple[str, Path, list[str]]) -> None:
    lanes, cache, first = compiled
    assert first[0] == lanes
    assert Path(first[1]).parent == cache
    # Hits, misses, and how often a kernel was compiled: a second time costs seconds, for types that differ in nothing.
    assert first[2:] == ["0", "1", "1"]
    files = {file: file.stat().st_mtime_ns for file in cache.rglob("*.nb?")}
    assert files
    second = run(SCRIPT, DARKNET_PY_LANES=lanes, DARKNET_PY_CACHE_DIR=str(cache))
    assert second == [*first[:2], "1", "0", "1"]
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*.nb?")} == files


def test_only_kernels_that_a_plan_has_steps_of_are_compiled(tmp_path: Path) -> None:
    script = """
import sys, tempfile
from pathlib import Path
from networks import TinyNetwork
from darknet_py import Network
from darknet_py.kernels.ops import OPERATIONS
tiny = TinyNetwork((3, 8, 8), seed=0)
tiny.add("upsample", {"stride": 2})
tiny.add("avgpool")
Network(*tiny.write(Path(tempfile.mkdtemp())), threads=1).run(tiny.blob)
print(*sorted(name for name, operation in OPERATIONS.items() if operation.kernel.signatures))
"""
    assert run(script, DARKNET_PY_CACHE_DIR=str(tmp_path), DARKNET_PY_LANES="4") == ["average_image", "upsample"]


def unwritable_places(file: Path) -> dict[str, str]:
    """Variables that name the places for a cache, all below a file."""
    names = ("DARKNET_PY_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")
    return {name: str(file / name) for name in names}


def test_unwritable_places_fall_back_to_the_temporary_directory(
    compiled: tuple[str, Path, list[str]], tmp_path: Path
) -> None:
    """A read-only home and site-packages; the temporary directory holds compiled kernels, so this is quick."""
    if not hasattr(os, "getuid") or sys.platform == "darwin":
        pytest.skip("the places differ")
    lanes, cache, _ = compiled
    nowhere = tmp_path / "file"
    nowhere.touch()  # a directory below a file cannot be made, not even by root
    shutil.copytree(cache, tmp_path / f"darknet-py-{os.getuid()}")
    found = run(SCRIPT, DARKNET_PY_LANES=lanes, TMPDIR=str(tmp_path), **unwritable_places(nowhere))
    assert Path(found[1]).parent == tmp_path / f"darknet-py-{os.getuid()}"
    assert found[2:] == ["1", "0", "1"]


@pytest.mark.slow
def test_no_place_can_be_written(tmp_path: Path) -> None:
    """Then every process compiles for itself."""
    nowhere = tmp_path / "file"
    nowhere.touch()
    unwritable = f"import tempfile\ntempfile.tempdir = {str(nowhere / 'tmp')!r}\n"
    script = unwritable + SCRIPT.replace("tempfile.mkdtemp()", repr(str(tmp_path)))
    assert run(script, **unwritable_places(nowhere))[2] == "0"


@pytest.mark.slow
def test_algorithms_are_measured_where_nothing_can_be_written(tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.touch()
    script = f"""
import tempfile
tempfile.tempdir = {str(nowhere / "tmp")!r}
from pathlib import Path
from networks import TinyNetwork, check
tiny = TinyNetwork((36, 40, 44))
tiny.add("convolutional", {{"filters": 36, "size": 3, "pad": 1, "activation": "leaky"}})
check(tiny, Path({str(tmp_path)!r}))
print("done")
"""
    assert run(script, DARKNET_PY_CONVOLUTION="", **unwritable_places(nowhere)) == ["done"]


@pytest.mark.parametrize("lanes", ["3", "32", "", "eight"])
def test_vector_width_that_does_not_exist(lanes: str) -> None:
    """An error of the call, not of the import, so that a program can report it as any other."""
    script = (
        "import darknet_py\ntry: darknet_py.Network('a.cfg', 'a.weights')\nexcept darknet_py.OptionError as e: print(e)"
    )
    message = " ".join(run(script, DARKNET_PY_LANES=lanes))
    assert message == f"DARKNET_PY_LANES={lanes!r}: expected 16, 8 or 4 (unset it to follow the CPU)"


def test_matrix_tiles_that_do_not_exist() -> None:
    script = (
        "import darknet_py\ntry: darknet_py.Network('a.cfg', 'a.weights')\nexcept darknet_py.OptionError as e: print(e)"
    )
    message = " ".join(run(script, DARKNET_PY_AMX="yes"))
    assert message == "DARKNET_PY_AMX='yes': expected 0 or emulated (unset it to follow the CPU)"


@pytest.mark.parametrize(
    ("lanes", "amx", "tiles"), [("16", "emulated", "True"), ("16", "0", "False"), ("8", "", "False")]
)
def test_matrix_tiles_are_forced_or_forbidden(lanes: str, amx: str, tiles: str) -> None:
    script = "from darknet_py.kernels.jit import HAS_AMX, MATRIX_TILES\nprint(HAS_AMX, MATRIX_TILES)"
    changes = {"DARKNET_PY_AMX": amx} if amx else {}
    assert run(script, DARKNET_PY_LANES=lanes, **changes) == ["False", tiles]


def run_tests(names: Iterable[str], folder: Path, **changes: str) -> None:
    """Run test files in a process of their own, with a cold cache."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(str(TESTS / name) for name in names)],
        env=environment(DARKNET_PY_CACHE_DIR=str(folder), **changes),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(MATRIX_TILES, reason="test_matrix runs with the others")
def test_matrix_tiles_without_amx(tmp_path: Path) -> None:
    run_tests(["test_matrix.py"], tmp_path, DARKNET_PY_LANES="16", DARKNET_PY_AMX="emulated")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        {"DARKNET_PY_LANES": "16", "DARKNET_PY_AMX": "0"},
        {"DARKNET_PY_LANES": "16", "DARKNET_PY_AMX": "emulated"},
        {"DARKNET_PY_LANES": "8"},
        {"DARKNET_PY_LANES": "4"},
    ],
    ids=lambda kind: " ".join(kind.values()),
)
def test_every_layer_on_every_kind_of_machine(kind: dict[str, str], tmp_path: Path) -> None:
    names = ["test_layers.py", "test_fusion.py", "test_algorithms.py", "test_bfloat16.py"]
    if "emulated" in kind.values():
        names.append("test_matrix.py")
    run_tests(names, tmp_path, **kind)
