"""``darknet-py cache`` and ``warmup --all``, and that looking at the program touches nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from command_line import compile_kernels, run

from darknet_py.cli import cache as module
from darknet_py.cli import warmup
from darknet_py.kernels.jit import cache_layers, cache_leaf

ROOT = Path(__file__).parents[1]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Places of the test's own, the first of them with the kernels of this process."""
    compile_kernels()
    leaf = cache_leaf()
    assert leaf is not None
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("DARKNET_PY_CACHE_DIR", str(tmp_path / "named"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "home").mkdir()
    target = tmp_path / "named" / leaf
    target.mkdir(parents=True, mode=0o700)
    for layer in cache_layers().readable:
        for file in layer.folder.iterdir():
            shutil.copy(file, target)
    return tmp_path


def folder_of(places: Path) -> Path:
    return places / "named" / str(cache_leaf())


def test_it_says_where_kernels_are(places: Path) -> None:
    before = sorted(places.rglob("*"))
    result = run("cache")
    assert result.exit_code == 0
    count = len(list(folder_of(places).glob("*.nbc")))
    assert count > 10
    assert f"kept in       DARKNET_PY_CACHE_DIR ({folder_of(places)}): {count} kernels" in result.stdout
    assert re.search(r"compiled for  \S+, \d+ float32 lanes", result.stdout)
    assert sorted(places.rglob("*")) == before


def test_it_says_what_is_refused(places: Path) -> None:
    if not hasattr(os, "geteuid"):
        pytest.skip("no owners and modes here")
    folder_of(places).chmod(0o777)
    result = run("cache")
    assert "refused       DARKNET_PY_CACHE_DIR" in result.stdout and "by everybody (mode 777)" in result.stdout
    assert "kept in       the user's cache" in result.stdout


def test_a_check_reads_every_file(places: Path) -> None:
    count = len(list(folder_of(places).glob("*.nbc")))
    result = run("cache", "--check")
    assert result.exit_code == 0 and f"{count} kernels are whole, 0 files are not" in result.stdout
    damaged = sorted(folder_of(places).glob("*.nbc"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    result = run("cache", "--check")
    assert result.exit_code == 1
    assert f"{count - 1} kernels are whole, 1 files are not" in result.stdout and damaged.name in result.stdout


def test_clearing_removes_what_is_ours(places: Path) -> None:
    older = places / "home" / ".cache" / "darknet-py" / "kernels-0123456789abcdef-8"
    models = older.parent / "models"
    others = places / "named" / "kernels-of-somebody"
    linked = places / "named" / "kernels-0123456789abcdef-16"
    for folder in (older, models, others):
        folder.mkdir(parents=True, mode=0o755)
        (folder / "file").touch()
    linked.symlink_to(models)
    assert "others        1 folders" in run("cache").stdout
    result = run("cache", "--clear")
    assert result.exit_code == 0 and "removed       2 folders" in result.stdout
    assert not older.exists() and not folder_of(places).exists()
    assert all((folder / "file").exists() for folder in (models, others)) and linked.is_symlink()
    assert "removed       0 folders, 0.0 MB" in run("cache", "--clear").stdout


def test_warming_is_warmup_for_all(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(module, "warm_all", lambda *options: asked.append(options))
    monkeypatch.setattr(warmup, "warm_all", lambda *options: asked.append(options))
    assert run("cache", "--warm").exit_code == 0
    assert run("warmup", "--all", "--precision", "bfloat16", "--again").exit_code == 0
    assert asked == [("float32",), ("bfloat16", True)]
    result = run("warmup", "--all", "yolov4")
    assert result.exit_code == 2 and "--all" in result.stderr and len(asked) == 2


def process(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    environment = {**kept, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **changes}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "arguments",
    [("-m", "darknet_py", "--version"), ("-m", "darknet_py", "detect", "--help"), ("-c", "import darknet_py.detector")],
    ids=lambda arguments: arguments[-1],
)
def test_looking_at_the_program_touches_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    places = {"HOME": str(home), "TMPDIR": str(tmp_path), "DARKNET_PY_CACHE_DIR": str(cache)}
    done = process(*arguments, **places)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(tmp_path.rglob("*")) == [home]


def test_a_program_without_any_place_still_says_its_version() -> None:
    done = process("-m", "darknet_py", "--version", HOME="/nonexistent/home", TMPDIR="/nonexistent/tmp")
    assert (done.returncode, done.stderr) == (0, "") and "version" in done.stdout


@pytest.mark.slow
def test_all_models_are_warmed(tmp_path: Path) -> None:
    places = {"HOME": str(tmp_path), "DARKNET_PY_CACHE_DIR": str(tmp_path / "cache")}
    done = process("-m", "darknet_py", "warmup", "--all", **places)
    assert done.returncode == 0, done.stderr
    assert "yolov4x-mish" in done.stdout and re.search(r"compiled     \d\d+", done.stdout)
    again = process("-m", "darknet_py", "warmup", "yolov7-tiny", **places)
    assert "all were in the cache" in again.stdout and "second call" in again.stdout
