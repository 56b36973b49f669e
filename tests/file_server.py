"""A web server on 127.0.0.1 for tests of downloads: each address answers as a test says, and requests are kept."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: What one request is answered with; the second argument is the server, for those that wait for its end.
Answer = Callable[[BaseHTTPRequestHandler, "FileServer"], None]


def whole(content: bytes, *, length: bool = True, **headers: str) -> Answer:
    """200 and all of it, whatever range was asked for."""

    def answer(request: BaseHTTPRequestHandler, _: FileServer) -> None:
        given = {"Content-Length": str(len(content))} if length else {}
        _send(request, 200, content, given, headers)

    return answer


def ranged(content: bytes, *, etag: str = '"one"', cut: int | None = None) -> Answer:
    """Ranges honoured, If-Range too; after `cut` bytes of the file the connection ends."""

    def answer(request: BaseHTTPRequestHandler, _: FileServer) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and request.headers.get("If-Range", etag) == etag else 0
        last = len(content) - 1
        if start > last:
            _send(request, 416, b"", {"Content-Range": f"bytes */{len(content)}"}, {})
            return
        length = {"Content-Length": str(len(content) - start)}
        headers = {"ETag": etag, "Accept-Ranges": "bytes"} if etag else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{last}/{len(content)}"
        _send(request, 206 if start else 200, content[start : len(content) if cut is None else cut], length, headers)

    return answer


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """This status."""
    return lambda request, _: _send(request, code, body, {"Content-Length": str(len(body))}, headers)


def redirect(to: str, code: int = 302) -> Answer:
    """Somewhere else."""
    return status(code, Location=to)


def stalled(content: bytes, after: int) -> Answer:
    """The first `after` bytes, then nothing until the server ends."""

    def answer(request: BaseHTTPRequestHandler, server: FileServer) -> None:
        _send(request, 200, content[:after], {"Content-Length": str(len(content))}, {"ETag": '"one"'})
        request.wfile.flush()
        server.ends.wait(30)

    return answer


def trickling(content: bytes, seconds: float) -> Answer:
    """A byte at a time, with a pause after each."""

    def answer(request: BaseHTTPRequestHandler, server: FileServer) -> None:
        _send(request, 200, b"", {"Content-Length": str(len(content))}, {"ETag": '"one"'})
        for value in content:
            request.wfile.write(bytes([value]))
            if server.ends.wait(seconds):
                return

    return answer


def silent(_: BaseHTTPRequestHandler, server: FileServer) -> None:
    """No answer at all until the server ends."""
    server.ends.wait(30)


def _send(
    request: BaseHTTPRequestHandler, code: int, body: bytes, length: dict[str, str], headers: dict[str, str]
) -> None:
    request.send_response(code)
    for key, value in {**length, **headers}.items():
        request.send_header(key.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


@dataclass
class FileServer:
    """A running server.

    Attributes
    ----------
    answers : dict
        By path: what to do with a request, or a list of that for one request after another, the last one for the rest.
    requests : list of (path, headers)
    """

    url: str
    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    ends: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        """The range of each request."""
        return [headers.get("Range") for _, headers in self.requests]

    def paths(self) -> list[str]:
        """The path of each request."""
        return [path for path, _ in self.requests]

    def next_answer(self, path: str) -> Answer:
        found = self.answers.get(path, status(404))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what is tested."""


@contextmanager
def serve() -> Iterator[FileServer]:
    """Run a server for the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.requests.append((self.path, dict(self.headers)))
            files.next_answer(self.path)(self, files)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = _Quiet(("127.0.0.1", 0), Handler)
    files = FileServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield files
    finally:
        files.ends.set()
        server.shutdown()
        thread.join()
        server.server_close()
