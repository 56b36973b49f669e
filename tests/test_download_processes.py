"""Downloads side by side: processes that wait for each other, are killed, stopped or interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import run
from download_orders import CONTENT, NAME, Log, fetch
from fake_models import FILES, PROGRAM, offer, tiny
from file_server import FileServer, ranged, stalled, whole

from darknet_py.models import filelock as filelock_module
from darknet_py.models import registry
from darknet_py.models.download import download_file
from darknet_py.models.filelock import FileLock, NoLocks
from darknet_py.models.patience import Patience

WEIGHTS = FILES["tiny.weights"]
HALF = 5000


class Process:
    """``darknet-py`` with the tiny model, in a process of its own."""

    def __init__(self, server: FileServer, models: Path, *arguments: object) -> None:
        tests = Path(__file__).parent
        program = PROGRAM.format(tests=str(tests), url=server.url)
        environment = {
            **os.environ,
            "DARKNET_PY_MODELS_DIR": str(models),
            "no_proxy": "*",
            "PYTHONPATH": os.pathsep.join([str(tests.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.errors: list[str] = []

    def wait_for(self, text: str) -> None:
        """Read stderr up to the line that has `text`."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.errors.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} is not in {self.errors}")

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        output, errors = self.popen.communicate(timeout=60)
        return self.popen.returncode, output, "".join(self.errors) + errors


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Those that the test starts; ended with it."""
    started: list[Process] = []
    yield started
    for process in started:
        process.popen.kill()
        process.popen.communicate()


def held(after: int, go: threading.Event) -> object:
    """The weights up to `after`, the rest when `go` is set."""

    def answer(request, _):
        request.send_response(200)
        request.send_header("Content-Length", str(len(WEIGHTS)))
        request.send_header("ETag", '"one"')
        request.end_headers()
        request.wfile.write(WEIGHTS[:after])
        request.wfile.flush()
        if go.wait(30):
            request.wfile.write(WEIGHTS[after:])

    return answer


def test_second_process_waits_and_finds_the_file(server, models, processes):
    offer(server)
    go = threading.Event()
    server.answers["/tiny.weights"] = held(HALF, go)
    first = Process(server, models, "download", "tiny")
    processes.append(first)
    first.wait_for("downloading tiny.weights")
    second = Process(server, models, "download", "tiny")
    processes.append(second)
    second.wait_for("another process is downloading it")
    go.set()
    assert [process.end()[0] for process in processes] == [0, 0]
    assert server.paths().count("/tiny.weights") == 1
    assert (models / "tiny.weights").read_bytes() == WEIGHTS
    assert sorted(file.name for file in models.iterdir()) == sorted(FILES)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_second_process_takes_over_from_a_killed_one(server, models, processes):
    offer(server)
    server.answers["/tiny.weights"] = [stalled(WEIGHTS, HALF), ranged(WEIGHTS)]
    first = Process(server, models, "download", "tiny")
    processes.append(first)
    first.wait_for("downloading tiny.weights")
    second = Process(server, models, "download", "tiny")
    processes.append(second)
    second.wait_for("another process is downloading it")
    first.popen.kill()
    assert second.end()[0] == 0
    assert (models / "tiny.weights").read_bytes() == WEIGHTS
    assert server.requests[-1][1]["Range"] == f"bytes={HALF}-"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_ctrl_c_leaves_a_part_and_one_line(server, models, processes, monkeypatch):
    offer(server)
    server.answers["/tiny.weights"] = [stalled(WEIGHTS, HALF), ranged(WEIGHTS)]
    running = Process(server, models, "download", "tiny")
    processes.append(running)
    running.wait_for("downloading tiny.weights")
    part = models / "tiny.weights.part"
    while not part.exists() or part.stat().st_size < HALF:
        assert running.popen.poll() is None
        time.sleep(0.01)
    running.popen.send_signal(signal.SIGINT)
    code, output, errors = running.end()
    assert (code, output) == (130, "")
    assert errors.splitlines()[-1].startswith("Interrupted: 5.0 kB of 6.2 kB of tiny.weights are kept")
    assert "Traceback" not in errors
    assert part.read_bytes() == WEIGHTS[:HALF]
    monkeypatch.setenv("DARKNET_PY_MODELS_DIR", str(models))
    monkeypatch.setitem(registry.MODELS, "tiny", tiny(server.url))
    assert run("download", "tiny").exit_code == 0
    assert server.requests[-1][1]["Range"] == f"bytes={HALF}-"


# The lock -----------------------------------------------------------------------------------------------------


def test_lock_is_held_by_one(tmp_path):
    one, other = (FileLock(tmp_path / "lock") for _ in range(2))
    assert one.acquire()
    assert not other.acquire()
    one.release()
    one.release()
    assert other.acquire()
    other.release()
    assert list(tmp_path.iterdir()) == []


def test_lock_file_that_a_dead_process_left_is_free(tmp_path):
    (tmp_path / "lock").write_text("")
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire()
    lock.release()


def test_lock_of_a_file_that_is_gone_does_not_count(tmp_path, monkeypatch):
    """Who had it removes the file between our opening and locking it: the next process would make a new one."""
    real = filelock_module._lock

    def late(descriptor: int) -> bool:
        (tmp_path / "lock").unlink()
        return real(descriptor)

    monkeypatch.setattr(filelock_module, "_lock", late)
    lock = FileLock(tmp_path / "lock")
    assert not lock.acquire()
    monkeypatch.undo()
    assert lock.acquire()
    lock.release()


def test_who_holds_the_lock_and_stands_still_is_not_waited_for(server, order):
    server.answers["/a"] = whole(CONTENT)
    wanted, log = order("/a"), Log()
    wanted.folder.mkdir()
    other = FileLock(wanted.folder / f".{NAME}.lock")
    assert other.acquire()
    part = wanted.folder / f"{NAME}.part"
    part.write_bytes(b"of the other process")
    download_file(wanted, patience=Patience(timeout=0.05, pause=0.01, attempts=1), listener=log)
    assert log.events[:2] == ["waiting", "alone"]
    assert part.read_bytes() == b"of the other process"
    assert wanted.target.read_bytes() == CONTENT
    other.release()
    assert {file.name for file in wanted.folder.iterdir()} == {NAME, part.name}


def test_file_system_without_locks(server, order, monkeypatch):
    def lock(_: int) -> bool:
        raise NoLocks

    monkeypatch.setattr(filelock_module, "_lock", lock)
    server.answers["/a"] = whole(CONTENT)
    log = Log()
    download_file(order("/a"), listener=log)
    assert log.events[0] == "alone"
    assert order("/a").target.read_bytes() == CONTENT


def test_threads_of_one_process(server, order):
    server.answers["/a"] = whole(CONTENT)
    threads = [
        threading.Thread(target=download_file, args=(order("/a"),), kwargs={"listener": Log()}) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert fetch(order("/a")) == []
