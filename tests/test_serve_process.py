"""``darknet-py serve`` as a process: its start, its end, and what it says where it cannot be."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import Model, run
from serving import picture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of another kind")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path)


@contextmanager
def serve(model: Model, *options: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process, once it serves, and its port."""
    command = [sys.executable, "-m", "darknet_py", "serve", "--cfg", model.cfg, "--weights", model.weights]
    command += ["--port", 0, "--threads", 1, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert running.stderr is not None
        line = running.stderr.readline()
        found = re.fullmatch(r"Serving tiny at http://127\.0\.0\.1:(\d+) \(Ctrl-C ends it\)\n", line)
        assert found, line + running.stderr.read()
        yield running, int(found[1])
    finally:
        running.kill()
        running.communicate()


def ask(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/detect", body)
    response = connection.getresponse()
    assert response.status != 200 or len(json.loads(response.read())["detections"]) == 1
    connection.close()
    return response.status


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_what_was_begun_is_answered(number: signal.Signals, model: Model) -> None:
    body = picture((1, 1))
    with serve(model) as (running, port), socket.create_connection(("127.0.0.1", port), timeout=60) as half:
        assert ask(port, body) == 200
        half.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        half.sendall(f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:50])
        assert ask(port, body) == 200  # the server has seen the one before
        running.send_signal(number)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
            except (ConnectionRefusedError, ConnectionResetError):
                break  # nobody new is let in
        half.sendall(body[50:])
        answer = b""
        while chunk := half.recv(65536):
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 200") and b'"detections":[{' in answer
        assert running.wait(60) == 0
        assert running.stderr is not None and running.stderr.read() == ""


def test_an_end_without_requests(model: Model) -> None:
    with serve(model, "--token", "secret") as (running, port):
        assert ask(port, picture((1, 1))) == 401
        running.terminate()
        assert running.wait(60) == 0


def test_a_port_that_is_taken(model: Model) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--cfg", model.cfg, "--weights", model.weights, "--port", port)
    assert result.exit_code == 1
    assert f"127.0.0.1:{port}: cannot be listened at" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--host", "no.such.host.invalid"], 1, "cannot be listened at"),
        (["--host", ""], 2, "it is empty"),
        (["--port", "70000"], 2, "70000"),
        (["--thresh", "nan"], 2, "nan"),
        (["--patience", "inf"], 2, "inf"),
        (["--classes", "unicorn"], 2, "unicorn"),
        (["--model", "yolov4-tiny"], 2, "give either it or them"),
    ],
)
def test_wrong_options(options: list[str], code: int, words: str, model: Model) -> None:
    given = ["--port", "0", *options]
    result = run("serve", "--cfg", model.cfg, "--weights", model.weights, *given)
    assert result.exit_code == code and words in result.stderr


def test_without_the_extra(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run("serve", "--cfg", model.cfg, "--weights", model.weights)
    assert result.exit_code == 1 and 'pip install "darknet-numba[serve]"' in result.stderr


def test_signals_are_as_before_afterwards() -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert threading.active_count() < 50
