"""A file that grows holds whole lines at any moment, and what was there before until the first of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from darknet_py.errors import OptionError
from darknet_py.outputs.growing import GrowingFile


def fill(path: Path | str, *lines: str, stop: BaseException | None = None) -> GrowingFile:
    file = GrowingFile(path)
    with file:
        for line in lines:
            file.write(line)
        if stop is not None:
            raise stop
    return file


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("of before, longer than what comes")
    with GrowingFile(target) as file:
        assert target.read_text().startswith("of before")
        file.write("one\n")
        assert target.read_text() == "one\n"
        file.write("zwei ü\n")
    assert target.read_text("utf-8") == "one\nzwei ü\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_run_that_wrote_nothing_leaves_an_empty_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("of before")
    assert fill(target).kept == "" and target.read_text() == ""


@pytest.mark.parametrize("before", ["of before", None])
def test_a_run_that_broke_off_before_the_first_line_changes_nothing(tmp_path: Path, before: str | None) -> None:
    target = tmp_path / "a"
    if before is not None:
        target.write_text(before)
    with pytest.raises(KeyboardInterrupt):
        fill(target, stop=KeyboardInterrupt())
    assert (target.read_text() if target.exists() else None) == before


def test_what_was_written_stays_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "a", "one\n", stop=KeyboardInterrupt())
    assert (tmp_path / "a").read_text() == "one\n"


def test_an_interrupt_in_the_middle_of_a_line_takes_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if bytes(data).startswith(b"ne"):
            raise KeyboardInterrupt
        return real(descriptor, data[:1] if bytes(data).startswith(b"one") else data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "a", "zero\n", "one\n")
    assert (tmp_path / "a").read_text() == "zero\n"


def test_going_on_keeps_what_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("one\ntw")
    with GrowingFile(target) as file:
        file.go_on_after(4)
        assert target.read_text() == "one\n"
        file.write("two\n")
    assert target.read_text() == "one\ntwo\n"


@pytest.mark.parametrize("name", ["no/such/folder/a", ".", "x" * 300])
def test_targets_that_cannot_be_written_are_found_on_entering(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="cannot be written"), GrowingFile(tmp_path / name):
        pytest.fail("the work began")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="of POSIX alone")
def test_a_file_is_written_in_place_where_nothing_can_be_moved_onto_it(tmp_path: Path) -> None:
    """A bind mount is an inode that stays; so do other names of the file."""
    target, other = tmp_path / "a", tmp_path / "b"
    target.write_text("of before")
    os.link(target, other)
    fill(target, "one\n")
    assert other.read_text() == "one\n" and target.stat().st_ino == other.stat().st_ino
    (tmp_path / "link").symlink_to("a")
    fill(tmp_path / "link", "two\n")
    assert (tmp_path / "link").is_symlink() and target.read_text() == "two\n"


@pytest.mark.skipif(os.name != "posix", reason="of POSIX alone")
def test_pipes_get_each_line_at_once(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.extend(pipe.read_text().splitlines()))
    reader.start()
    fill(pipe, "one\n", "two\n")
    reader.join(timeout=60)
    assert got == ["one", "two"]


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    fill("-", "one\n", "two\n")
    assert capsys.readouterr().out == "one\ntwo\n"


@pytest.mark.skipif(os.name != "posix", reason="of POSIX alone")
def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """A limit on the size of files is as good as a full disk, and needs no root."""
    program = f"""
import resource
from darknet_py import OutputError
from darknet_py.outputs.growing import GrowingFile
resource.setrlimit(resource.RLIMIT_FSIZE, (1003, 1003))
try:
    with GrowingFile({str(tmp_path / "a")!r}) as file:
        for number in range(1000):
            file.write(f"{{number:09}}" + chr(10))
except OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "" and "make room" in done.stdout
    assert (tmp_path / "a").read_text() == "".join(f"{number:09}\n" for number in range(100))
