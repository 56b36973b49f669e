"""Memory that the system refuses ends in one line, whatever face its refusal has."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from darknet_py import address_space
from darknet_py.cli import main as command_line
from darknet_py.cli import shortage as module
from darknet_py.cli.shortage import shortage

resource = pytest.importorskip("resource", reason="this system has no limits of address space")

MEGABYTE = 1 << 20
PICTURE = Path(__file__).parents[1] / "examples" / "pictures" / "shelf.jpg"


def loaders_error() -> OSError:
    """As llvmlite raises it: the cause is in what it comes of."""
    error = OSError("Could not find/load shared object file 'libllvmlite.so'")
    error.__context__ = OSError("libllvmlite.so: failed to map segment from shared object")
    return error


FACES: dict[str, tuple[Callable[[], Exception], str]] = {
    "plain": (MemoryError, "choose a smaller --size"),
    "NumPy": (lambda: MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
    "system": (
        lambda: OSError(errno.ENOMEM, "Cannot allocate memory", "/x"),
        "[Errno 12] Cannot allocate memory: '/x'",
    ),
    "lock": (lambda: RuntimeError("can't allocate lock"), "can't allocate lock"),
    "library": (
        lambda: ImportError("cmath.so: failed to map segment from shared object"),
        "cmath.so: failed to map segment from shared object",
    ),
    "NumPy's library": (
        lambda: ImportError("\n\nIMPORTANT:\n\nblas.so: failed to map segment from shared object\nmore"),
        "blas.so: failed to map segment from shared object",
    ),
    "LLVM's library": (loaders_error, "libllvmlite.so: failed to map segment from shared object"),
}


@pytest.mark.parametrize("face", FACES)
def test_every_face_is_one_line(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, said = FACES[face]
    monkeypatch.setattr(module, "limit_bytes", lambda: None)
    assert shortage(make()) == f"not enough memory: {said}"

    def fail(*arguments: object) -> None:
        raise make()

    monkeypatch.setattr(command_line, "import_module", fail)
    result = CliRunner().invoke(command_line.main, ["inspect", "my.cfg"])
    assert result.exit_code == 1 and result.stderr == f"Error: not enough memory: {said}\n"


def test_the_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "limit_bytes", lambda: 400 * MEGABYTE)
    limit = "this process may have 400 MB of address space (ulimit -v)"
    assert shortage(MemoryError()) == f"not enough memory: {limit}"
    assert shortage(RuntimeError("can't allocate lock")) == f"not enough memory: can't allocate lock; {limit}"


def test_errors_without_words_where_no_memory_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "limit_bytes", lambda: 400 * MEGABYTE)
    monkeypatch.setattr(module, "left_bytes", lambda: 9 * MEGABYTE)
    assert "the compiler got none; this process may have 400 MB" in str(shortage(AssertionError()))
    assert "NULL" in str(shortage(SystemError("returned NULL without setting an exception")))
    assert shortage(ValueError()) is None
    for left in (None, 500 * MEGABYTE):
        monkeypatch.setattr(module, "left_bytes", lambda left=left: left)
        assert shortage(AssertionError()) is None


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EPIPE, "Broken pipe"), ImportError("no module x")])
def test_other_errors_are_none_of_these(error: Exception) -> None:
    assert shortage(error) is None


@pytest.mark.parametrize("error", [click.exceptions.Exit(3), click.Abort(), ZeroDivisionError("mine")])
def test_what_is_no_error_of_the_system_passes(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "import_module", fail)
    result = CliRunner().invoke(command_line.main, ["inspect", "my.cfg"])
    assert result.exit_code == (3 if isinstance(error, click.exceptions.Exit) else 1)
    assert "not enough memory" not in result.stderr
    assert result.exception is error or not isinstance(error, ZeroDivisionError)


def test_too_little_for_the_compiler_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_space, "limit_bytes", lambda: None)
    assert address_space.left_bytes() is None
    address_space.need_bytes(1 << 60, "anything")
    monkeypatch.setattr(address_space, "limit_bytes", lambda: 5 * MEGABYTE)
    if address_space.left_bytes() is None:
        pytest.skip("this system does not say how much address space is taken")
    expected = r"compiling a kernel takes 16 MB of address space, 0 of the 5 MB allowed are left: .*ulimit -v"
    with pytest.raises(MemoryError, match=expected):
        address_space.need_bytes(16 * MEGABYTE, "compiling a kernel")


def limited(megabytes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * MEGABYTE, megabytes * MEGABYTE))

    command = [sys.executable, "-m", "darknet_py", *arguments]
    # One thread of BLAS: each takes address space, and its own complaints come before anything of Python's.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, env=environment)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are enforced by Linux")
def test_a_compiler_that_finds_no_room() -> None:
    done = limited(250, "detect", str(PICTURE))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("Error: not enough memory: ") and done.stderr.count("\n") == 1
    assert "250 MB of address space (ulimit -v)" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are enforced by Linux")
def test_no_limit_shows_a_traceback() -> None:
    """From what nothing fits into to what is enough; LLVM and glibc may end the process by a line of their own."""
    assert limited(4000, "detect", str(PICTURE)).returncode == 0
    for megabytes in range(250, 1501, 25):
        done = limited(megabytes, "detect", str(PICTURE))
        assert "Traceback" not in done.stderr, f"{megabytes} MB: {done.stderr}"
        ended_by_glibc = done.returncode == 127 and "thread-local data" in done.stderr
        assert ended_by_glibc or done.returncode in (0, 1, -6, -11), f"{megabytes} MB: {done.returncode}, {done.stderr}"
