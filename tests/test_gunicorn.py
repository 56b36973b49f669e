"""Served by gunicorn with ``preload_app``: a detector that was loaded, and used, before its workers were forked."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from darknet_py import Detector
from darknet_py.shipped import shipped_pictures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed"),
]

APPLICATION = """
import json
import os
from pathlib import Path

from darknet_py import Detector
from darknet_py.shipped import shipped_pictures

detector = Detector(threads=2)
detector.detect(shipped_pictures()[0])


def application(environ, start_response):
    found = detector.detect(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    answer = {"worker": os.getpid(), "xyxy": found.xyxy.tobytes().hex(), "confidence": found.confidence.tobytes().hex()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, picture: bytes) -> dict[str, object]:
    with closing(_Connection(path)) as connection:
        connection.request("POST", "/", picture)
        answer = connection.getresponse()
        assert answer.status == 200
        return dict(json.loads(answer.read()))


@pytest.fixture(params=["sync", "gthread"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    (tmp_path / "application.py").write_text(APPLICATION)
    path = tmp_path / "socket"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--worker-class", request.param]
    command += ["--threads", "4" if request.param == "gthread" else "1", "--bind", f"unix:{path}", "application"]
    with (tmp_path / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 300
        while not path.exists():
            assert server.poll() is None and time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
            time.sleep(0.1)
        yield path, server
    finally:
        server.kill()
        server.wait()


def test_workers_find_the_same_and_are_replaced(served: tuple[Path, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    path, server = served
    pictures = [Path(picture).read_bytes() for picture in shipped_pictures()[:2]]
    here = Detector(threads=2)
    expected = []
    for picture in pictures:
        found = here.detect(picture)
        expected.append({"xyxy": found.xyxy.tobytes().hex(), "confidence": found.confidence.tobytes().hex()})
    seen: set[int] = set()
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: ask(path, pictures[n % 2]), range(40)))
        workers = {int(str(answer.pop("worker"))) for answer in answers}
        assert [answer == expected[n % 2] for n, answer in enumerate(answers)] == [True] * 40
        assert not workers & seen
        seen |= workers
        for worker in workers:  # gunicorn forks another
            os.kill(worker, signal.SIGKILL)
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0, (tmp_path / "log.txt").read_text()
