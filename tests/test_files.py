"""Files written whole or not at all: replaced, or in place where that cannot be; full disks; nothing left half done."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from darknet_py import OptionError, OutputError, SeededWeights, WeightsError, overwriting, save_image, write_weights
from darknet_py import files as files_module
from darknet_py.cfg import parse_cfg
from darknet_py.files import WholeFile, check_writable, move_whole, write_whole
from darknet_py.graph import build_graph
from darknet_py.onnx_export import write_onnx
from darknet_py.outputs.json_array import JsonWriter

ROOT = Path(__file__).parents[1]
BEFORE = b"what was there before"
CFG = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=4\n"

posix = pytest.mark.skipif(os.name != "posix", reason="of POSIX alone")


def write_json(path: Path) -> None:
    with JsonWriter(path) as writer:
        writer.write({"frame_id": 1, "filename": "a name longer than what was there before"})


def write_the_weights(path: Path) -> None:
    graph = build_graph(parse_cfg(CFG))
    write_weights(path, graph, SeededWeights(graph))


#: Everything that writes a file for the user, by what it calls the file.
WRITERS: dict[str, Callable[[Path], None]] = {
    "found.json": write_json,
    "drawn.png": lambda path: save_image(path, np.zeros((20, 30, 3), np.uint8)),
    "model.onnx": lambda path: write_onnx(SimpleNamespace(SerializeToString=lambda: b"x" * 300), path),  # type: ignore[arg-type]
    "my.weights": write_the_weights,
}


@pytest.fixture(params=WRITERS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "folder" / request.param
    path.parent.mkdir()
    path.write_bytes(BEFORE)
    return path


def alone(path: Path) -> bool:
    return [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.fixture
def unmovable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can take another's place, as where that is a mount point."""

    def busy(source: Any, target: Any) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(source), None, str(target))

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(files_module, "_told", set())


@pytest.fixture
def closed_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can be made in a folder called so."""
    real = os.open

    def guarded(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_CREAT and Path(os.fsdecode(path)).parent.name == "folder":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", guarded)
    monkeypatch.setattr(files_module, "_told", set())


# In place -----------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_and_keeps_its_mode(target: Path) -> None:
    target.chmod(0o640)
    number = target.stat().st_ino
    WRITERS[target.name](target)
    assert target.read_bytes() != BEFORE and alone(target)
    if os.name == "posix":
        assert stat.S_IMODE(target.stat().st_mode) == 0o640 and target.stat().st_ino != number


@pytest.mark.parametrize("trouble", ["unmovable", "closed_folder"])
def test_what_cannot_be_replaced_is_written_in_place(
    target: Path, trouble: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = target.parent.parent / target.name
    WRITERS[target.name](elsewhere)
    expected = elsewhere.read_bytes()
    request.getfixturevalue(trouble)
    number, temporary = target.stat().st_ino, set(os.listdir(tempfile.gettempdir()))
    with caplog.at_level(logging.WARNING, "darknet_py"):
        WRITERS[target.name](target)
        WRITERS[target.name](target)
    assert target.read_bytes() == expected and target.stat().st_ino == number and alone(target)
    (line,) = caplog.messages  # once for a folder
    assert line.startswith(str(target)) and "in place" in line
    assert not [name for name in set(os.listdir(tempfile.gettempdir())) - temporary if name.startswith("darknet-py-")]


@pytest.mark.parametrize("before", [b"", b"x" * 5, b"x" * 5000])
@pytest.mark.parametrize("size", [0, 3, 4000, 3 << 20])
def test_lengths_in_place(before: bytes, size: int, tmp_path: Path, unmovable: None) -> None:
    (tmp_path / "a").write_bytes(before)
    data = np.random.default_rng(size).bytes(size)
    write_whole(tmp_path / "a", data)
    assert (tmp_path / "a").read_bytes() == data and alone(tmp_path / "a")


def test_no_temporary_directory_either(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that may write a single file, which is mounted into it."""
    path = tmp_path / "folder" / "found.json"
    path.parent.mkdir()
    path.touch()
    request.getfixturevalue("closed_folder")

    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    write_json(path)
    assert json.loads(path.read_text())[0]["frame_id"] == 1


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("options", ["rw", "ro"])
def test_a_real_mount_point(options: str, tmp_path: Path) -> None:
    host, path = tmp_path / "host", tmp_path / "folder" / "found.json"
    path.parent.mkdir()
    host.write_bytes(BEFORE)
    path.touch()
    program = f"from pathlib import Path; from darknet_py.files import write_whole; write_whole({str(path)!r}, b'new')"
    script = (
        f'mount --bind {host} {path} && mount -o remount,bind,{options} {path} || exit 77; {sys.executable} -c "$0"'
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", script, program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert alone(path)
    if options == "rw":
        assert (done.returncode, host.read_bytes()) == (0, b"new")
    else:  # found before anything is done
        assert host.read_bytes() == BEFORE and "Read-only file system" in done.stderr and "OptionError" in done.stderr


# What cannot be written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None], ids=["a folder", "no folder above"])
def test_unwritable_targets_are_found_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "folder"
    make(path)
    path = path if path.exists() else path / "nowhere" / "a.json"
    for check in (check_writable, lambda one: write_whole(one, b""), lambda one: JsonWriter(one).__enter__()):
        with pytest.raises(OptionError, match="cannot be written"):
            check(path)
    with pytest.raises(OptionError, match="cannot be written"):
        check_writable("a\0b")


def test_a_check_changes_nothing(target: Path) -> None:
    before = target.stat()
    check_writable(target)
    check_writable(target.with_name("new"))
    assert target.stat().st_mtime_ns == before.st_mtime_ns and target.read_bytes() == BEFORE and alone(target)


@posix
def test_a_file_that_must_not_be_written_is_not_replaced(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def guarded(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if path == target and flags & os.O_WRONLY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", guarded)
    with pytest.raises((OptionError, WeightsError), match=r"Permission denied"):
        WRITERS[target.name](target)
    assert target.read_bytes() == BEFORE and alone(target)


# Full disks ---------------------------------------------------------------------------------------------------


def full_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with room for so many bytes more."""
    room = [count]
    real = WholeFile.write

    def write(self: WholeFile, data: bytes) -> None:
        taken = data[: room[0]]
        room[0] -= len(taken)
        real(self, taken)
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(WholeFile, "write", write)


def test_a_full_disk_leaves_the_file_of_before(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_after(30, monkeypatch)
    with pytest.raises((OutputError, WeightsError), match=r"cannot .*No space left"):
        WRITERS[target.name](target)
    assert target.read_bytes() == BEFORE and alone(target)


@posix
def test_a_full_disk_in_place_leaves_the_file_of_before(
    target: Path, unmovable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, file: Any, start: int, end: int) -> None:
        file.seek(start)
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(overwriting, "_copy", full)
    with pytest.raises((OutputError, WeightsError), match="No space left"):
        WRITERS[target.name](target)
    assert target.read_bytes() == BEFORE


def test_what_could_not_be_put_in_place_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = tmp_path / "found.json", os.replace

    def refuse(source: Any, target: Any) -> None:
        if Path(target) == path:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        real(source, target)

    def no_place(source: Any, target: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(files_module, "overwrite", no_place)
    with pytest.raises(OutputError, match=r"Input/output error; what was to be written is in .*found-.*\.json"):
        write_json(path)
    (kept,) = tmp_path.iterdir()
    assert not kept.name.startswith(".") and json.loads(kept.read_text())[0]["frame_id"] == 1


# Interrupts, moves --------------------------------------------------------------------------------------------


def test_an_interrupt_while_a_file_takes_its_place(
    target: Path, unmovable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = overwriting._copy, []

    def interrupted(source: Any, file: Any, start: int, end: int) -> None:
        calls.append(start)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(source, file, start, end)

    monkeypatch.setattr(overwriting, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[target.name](target)
    monkeypatch.undo()
    WRITERS[target.name](target.parent.parent / target.name)
    assert target.read_bytes() == (target.parent.parent / target.name).read_bytes() and alone(target)


def test_nothing_stays_of_a_file_that_nobody_finished(tmp_path: Path) -> None:
    program = (
        f"from darknet_py.files import WholeFile; file = WholeFile({str(tmp_path / 'a')!r}).open(); file.write(b'x')"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
    file = WholeFile(tmp_path / "b").open()
    assert len(list(tmp_path.iterdir())) == 1
    file._file.close()  # type: ignore[union-attr]  # of which Python would warn
    del file
    assert not list(tmp_path.iterdir())


def test_a_download_is_moved_onto_a_mount_point(tmp_path: Path, unmovable: None) -> None:
    part, path = tmp_path / "a.part", tmp_path / "a"
    part.write_bytes(b"new")
    with pytest.raises(OSError, match="busy"):
        move_whole(part, path)
    path.write_bytes(BEFORE)
    move_whole(part, path)
    assert path.read_bytes() == b"new" and alone(path)


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 120 + ".json")
    write_whole(path, b"x")
    assert path.read_bytes() == b"x" and alone(path)
    shutil.rmtree(tmp_path)
    with pytest.raises(OptionError, match="cannot be written"):
        write_whole(path, b"x")
