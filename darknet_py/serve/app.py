"""The routes of a server: who may ask, what is asked, and the status of each answer."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from darknet_py.detector import Detector
from darknet_py.errors import DarknetError, ImageError
from darknet_py.serve.answers import deepstack, deepstack_error, own
from darknet_py.serve.asked import Asked, asked_by, min_confidence
from darknet_py.serve.engine import Busy, Engine, Found, Late
from darknet_py.serve.metrics import Metrics
from darknet_py.serve.settings import Settings
from darknet_py.serve.upload import Refused, Upload, read_upload
from darknet_py.version import installed_version

__all__ = ["create_app"]

#: The page's files and their types.
_PAGE = {"page.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}

#: Nothing of other origins is loaded, and the page is nobody's frame.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_Handler = Callable[["_Server", Request], Awaitable[Response]]


def create_app(detector: Detector, settings: Settings) -> Starlette:
    """The ASGI application; its lifespan starts and ends the threads that decode and detect.

    Parameters
    ----------
    detector : Detector
        With its kernels compiled.
    settings : Settings
    """
    engine = Engine(detector, waiting=settings.waiting, max_pixels=settings.max_pixels)
    server = _Server(detector, settings, engine, Metrics(), _Room(settings.waiting), _Room(_STRANGERS))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with engine:
            yield

    def route(path: str, handler: _Handler, method: str, *, errors: Any = _own_error) -> Route:
        async def endpoint(request: Request) -> Response:
            return await server.answer(path, handler, request, errors)

        return Route(path, endpoint, methods=[method])

    routes = [
        route("/detect", _detect, "POST"),
        route("/v1/vision/detection", _deepstack, "POST", errors=deepstack_error),
        route("/v1/vision/custom/list", _custom_list, "POST", errors=deepstack_error),
        route("/v1/vision/custom/{name}", _deepstack, "POST", errors=deepstack_error),
        route("/metrics", _metrics, "GET"),
        Route("/healthz", server.health, methods=["GET"]),
        Route("/", _page("page.html"), methods=["GET"]),
        *(Route(f"/{name}", _page(name), methods=["GET"]) for name in _PAGE if name != "page.html"),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _unrouted})


#: Forms that may be read at the same time of those who have shown no token yet, as it may stand in the form.
_STRANGERS = 4


class _Room:
    """Bodies that are being received, so many at the most: they are in memory before they are in the queue."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place, while the body of a request comes in; Refused where there is none."""
        if self._inside >= self._most:
            raise Refused(503, f"busy: {self._most} requests are being received already; try again")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


@dataclass(frozen=True, eq=False)
class _Server:
    detector: Detector
    settings: Settings
    engine: Engine
    metrics: Metrics
    room: _Room
    strangers: _Room

    async def answer(self, route: str, handler: _Handler, request: Request, errors: Any) -> Response:
        """What a handler says, or what it refuses; one count in the metrics."""
        start = time.perf_counter()
        try:
            response = await handler(self, request)
        except Refused as refusal:
            response = JSONResponse(errors(refusal.status, str(refusal)), refusal.status)
            if refusal.status == 503:
                response.headers["Retry-After"] = "1"
            if refusal.status in (401, 408, 413, 503):  # the rest of the body is not read
                response.headers["Connection"] = "close"
        self.metrics.answered(route, response.status_code, time.perf_counter() - start)
        return response

    async def health(self, request: Request) -> Response:
        """200 while pictures are answered."""
        alive = self.engine.alive
        said = {"status": "ok" if alive else "stopped", "waiting": self.engine.inside}
        return JSONResponse(said, 200 if alive else 503)

    async def receive(self, request: Request) -> Upload:
        """The picture of a request that may be answered."""
        known = self.admit(request, None)
        if self.engine.full:  # said before the body has been read
            raise self.busy()
        with (self.room if known else self.strangers).one():
            upload = await read_upload(request, max_bytes=self.settings.max_bytes, patience=self.settings.patience)
        self.admit(request, upload)
        return upload

    def admit(self, request: Request, upload: Upload | None) -> bool:
        """Whether the token, if there is one, was shown in a header; DeepStack's may yet stand in the form.

        Raises
        ------
        Refused
            It was not, nor can it be in the form, or it is not there.
        """
        if self.settings.token is None:
            return True
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        shown = text.encode("latin-1") if scheme.lower() == "bearer" else b""  # as Starlette decodes headers
        form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
        if not shown and form and request.url.path.startswith("/v1/"):
            if upload is None:
                return False
            shown = upload.fields.get("api_key", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(shown, self.settings.token.encode()):
            raise Refused(401, "no token, or a wrong one: send the header 'Authorization: Bearer TOKEN'")
        return True

    def busy(self) -> Refused:
        """There is no room for one more."""
        return Refused(503, f"busy: {self.settings.waiting} pictures are waiting already; try again")

    async def look(self, data: bytes, asked: Asked) -> Found:
        """What is in a picture."""
        try:
            future = self.engine.submit(data, asked.options, self.settings.patience)
        except Busy:
            raise self.busy() from None
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(future), self.settings.patience)
        except (Late, asyncio.TimeoutError):
            raise Refused(503, f"busy: not answered within {self.settings.patience:g} s; try again") from None
        except ImageError as error:
            raise Refused(413 if ": too large:" in str(error) else 400, str(error)) from None
        except DarknetError as error:
            raise Refused(400, str(error)) from None
        except MemoryError:
            raise Refused(413, "not enough memory for this picture: send a smaller one") from None
        except Exception as error:
            raise Refused(500, f"{type(error).__name__}: this should not happen; the server's log says more") from error
        self.metrics.looked(len(found.detections), found.detecting, found.together)
        return found


async def _detect(server: _Server, request: Request) -> Response:
    upload = await server.receive(request)
    asked = asked_by({**request.query_params, **upload.fields}, server.settings, server.detector.names)
    found = await server.look(upload.data, asked)
    return JSONResponse(own(found, server.settings.name, newer_names=asked.newer_names))


async def _deepstack(server: _Server, request: Request) -> Response:
    start = time.perf_counter()
    name = request.path_params.get("name", server.settings.name)
    if name != server.settings.name:
        raise Refused(404, f"no model {name[:40]!r} here: expected {server.settings.name}")
    upload = await server.receive(request)
    asked = min_confidence({**request.query_params, **upload.fields}, server.settings, server.detector.names)
    found = await server.look(upload.data, asked)
    waited = time.perf_counter() - start
    return JSONResponse(deepstack(found, server.settings.name, waited, newer_names=asked.newer_names))


async def _custom_list(server: _Server, request: Request) -> Response:
    server.admit(request, Upload(b""))
    return JSONResponse({"success": True, "code": 200, "models": [server.settings.name]})


async def _metrics(server: _Server, request: Request) -> Response:
    server.admit(request, None)
    text = server.metrics.text(waiting=server.engine.inside, model=server.settings.name, version=installed_version())
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def _page(name: str) -> Callable[[Request], Awaitable[Response]]:
    body = resources.files("darknet_py.serve").joinpath(name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(body, media_type=_PAGE[name], headers=_HEADERS)

    return endpoint


def _own_error(status: int, message: str) -> dict[str, Any]:
    return {"error": message}


async def _unrouted(request: Request, error: Exception) -> Response:
    """404 and 405, in one line as all else."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = json.dumps(request.url.path[:80])
    said = {404: f"no {path} here: POST a picture to /detect", 405: f"{request.method} is not for {path}"}
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"error": said.get(status, "cannot be answered")}, status, headers)
