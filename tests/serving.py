"""A server of the tests' own: the tiny model of `command_line` behind a free port of this machine, in a thread."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Model, scene
from PIL import Image

from darknet_py import Detector

pytest.importorskip("starlette", reason="the extra [serve] is not installed")
pytest.importorskip("multipart", reason="the extra [serve] is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

from darknet_py.serve.app import create_app  # noqa: E402
from darknet_py.serve.settings import Settings  # noqa: E402

NAME = "tiny"
BOUNDARY = "tests-own-boundary"


def picture(*cells: tuple[int, int], format: str = "PNG") -> bytes:
    """A file of `scene`."""
    stream = io.BytesIO()
    Image.fromarray(scene(*cells)).save(stream, format)
    return stream.getvalue()


def form(*files: bytes, **fields: str) -> tuple[bytes, dict[str, str]]:
    """A multipart body and its header."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in fields.items()]
    parts += [b'Content-Disposition: form-data; name="image"; filename="image"\r\n\r\n' + data for data in files]
    body = b"".join(b"--" + BOUNDARY.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return body + f"--{BOUNDARY}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Serving:
    port: int
    detector: Detector

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})
        finally:
            connection.close()

    def post(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        return self.ask("POST", path, body, headers)

    def send(self, data: bytes) -> str:
        """What comes back on a connection that sends just this, until it is closed; the first line of it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(data)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.split(b"\r\n", 1)[0].decode()


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Serving]:
    """The server, ready; all its threads have ended afterwards."""
    model = Model(folder)
    detector = Detector(model.cfg, model.weights, ["cat", "dog", "motorbike"], threads=1)
    config = uvicorn.Config(
        create_app(detector, Settings(name=NAME, **settings)), http="h11", ws="none", log_config=None, log_level="error"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started:
            assert time.monotonic() < deadline and thread.is_alive()
            time.sleep(0.01)
        try:
            yield Serving(listener.getsockname()[1], detector)
        finally:
            server.should_exit = True
            thread.join(60)
    assert not thread.is_alive()


def boxes(answer: Answer) -> np.ndarray:
    """Corners (n, 4) of what `/detect` answered."""
    corners = ("left", "top", "right", "bottom")
    return np.array([[one[corner] for corner in corners] for one in answer.json["detections"]], np.float32)


def settled(server: Serving) -> str:
    """The metrics, once nobody waits any more."""
    deadline = time.monotonic() + 60
    while "darknet_waiting 0" not in (text := server.ask("GET", "/metrics").body.decode()):
        assert time.monotonic() < deadline
    return text
