"""Cameras of the tests' own on 127.0.0.1: MJPEG over HTTP and MPEG-TS over RTSP, which stall, drop and return."""

from __future__ import annotations

import io
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from PIL import Image
from video_files import frame

_BOUNDARY = b"--next\r\n"
_TS = 7 * 188


@dataclass(frozen=True)
class Visit:
    """What one connection gets: so many frames at this pace, then the end, or silence."""

    frames: int = 10
    pause: float = 0.02
    stalls: bool = False
    refused: bool = False


@dataclass
class Camera:
    """A running camera.

    Attributes
    ----------
    address : str
    visits : list of Visit
        Of the connections to come; the last one stays.
    """

    visits: list[Visit]
    data: bytes = b""
    address: str = ""
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def next_visit(self) -> Visit:
        self.connections += 1
        return self.visits.pop(0) if len(self.visits) > 1 else self.visits[0]

    def rest(self, seconds: float) -> None:
        self.over.wait(seconds)


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame(number)).save(file, "JPEG", quality=95)
    return file.getvalue()


def _serve_mjpeg(connection: socket.socket, camera: Camera) -> None:
    while b"\r\n\r\n" not in (connection.recv(65536) or b"\r\n\r\n"):
        pass
    visit = camera.next_visit()
    if visit.refused:
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n")
    for number in range(1, visit.frames + 1):
        data = jpeg(number)
        head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
        connection.sendall(_BOUNDARY + head + data + b"\r\n")
        camera.rest(visit.pause)
    if visit.stalls:
        camera.over.wait()


def _serve_rtsp(connection: socket.socket, camera: Camera) -> None:
    """Enough of RFC 2326 for a client that asks for TCP; the video is an MPEG transport stream in RTP."""
    visit = camera.next_visit()
    if visit.refused:
        return
    sdp = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
    answers = {
        b"OPTIONS": b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
        b"DESCRIBE": b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(sdp) + sdp,
        b"SETUP": b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
        b"PLAY": b"Session: 1\r\n\r\n",
    }
    asked = b""
    while True:
        part = connection.recv(65536)
        if not part:
            return
        asked += part
        while b"\r\n\r\n" in asked:
            request, asked = asked.split(b"\r\n\r\n", 1)
            method = request.split()[0]
            sequence = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"cseq"))
            connection.sendall(b"RTSP/1.0 200 OK\r\n" + sequence + b"\r\n" + answers.get(method, b"\r\n"))
            if method == b"PLAY":
                _play(connection, camera, visit)
                return


def _play(connection: socket.socket, camera: Camera, visit: Visit) -> None:
    """`visit.frames` are hundredths of the video here."""
    end = len(camera.data) * visit.frames // 100
    for number, at in enumerate(range(0, end, _TS)):
        packet = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, number * 900, 1) + camera.data[at : at + _TS]
        connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
        camera.rest(visit.pause)
    if visit.stalls:
        camera.over.wait()


@contextmanager
def camera(visits: Sequence[Visit], data: bytes = b"") -> Iterator[Camera]:
    """A camera that serves MJPEG or, given the bytes of an MPEG transport stream, RTSP."""
    running = Camera(list(visits), data)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the client has gone
                (_serve_rtsp if data else _serve_mjpeg)(self.request, running)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        running.address = f"rtsp://127.0.0.1:{server.server_address[1]}/live"
        if not data:
            running.address = f"http://127.0.0.1:{server.server_address[1]}/live.mjpg"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield running
        finally:
            running.over.set()
            server.shutdown()
