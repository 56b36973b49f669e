"""``darknet-py serve``: a detector behind an address."""

from __future__ import annotations

import math
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np

from darknet_py.cli.choices import Choices, choice_options
from darknet_py.cli.loading import DetectorFiles, detector_files, like_option, open_detector
from darknet_py.cli.options import TEXT, THREADS, Count, looks_option, precision_option, refuse_nan, size_option
from darknet_py.cli.report import one_line, say
from darknet_py.cli.stopping import obeyed
from darknet_py.cli.warmup import load_kernels
from darknet_py.detector import Detector
from darknet_py.shipped import BUILT_IN

__all__ = ["serve"]

_PORT = 8632

#: Connections at the same time, most of them idle; one more is answered 503.
_CONNECTIONS = 512


@click.command()
@detector_files
@click.option("--host", default="127.0.0.1", show_default=True, type=TEXT, metavar="ADDRESS",
              help="Address to listen at; 0.0.0.0 lets the whole network in.")  # fmt: skip
@click.option("--port", default=_PORT, show_default=True, type=Count(0, 65535), help="0 takes a free one.")
@click.option("--token", type=TEXT, envvar="DARKNET_PY_TOKEN", show_envvar=True, metavar="TEXT",
              help="Answer who sends 'Authorization: Bearer TEXT' (or api_key=TEXT, DeepStack's way).")  # fmt: skip
@choice_options
@click.option("--newer-names", is_flag=True, help="Spell COCO's classes the newer way: motorcycle, airplane, tv, "
              "couch, dining table, potted plant.")  # fmt: skip
@size_option
@click.option("--threads", type=THREADS, help="Threads that compute.  [default: all physical cores]")
@like_option
@precision_option
@looks_option
@click.option("--queue", default=32, show_default=True, type=Count(1, 10_000),
              help="Pictures in the house at the same time; one more is answered 503.")  # fmt: skip
@click.option("--max-upload", default=16, show_default=True, type=Count(1, 4096), metavar="MB",
              help="Largest body of a request.")  # fmt: skip
@click.option("--max-pixels", default=64_000_000, show_default=True, type=Count(1, 1 << 40),
              help="Of a picture, width times height.")  # fmt: skip
@click.option("--patience", default=30.0, show_default=True, type=click.FloatRange(0.1, 3600), callback=refuse_nan,
              metavar="SECONDS", help="How long a body may take to arrive, and a picture to be answered.")  # fmt: skip
@click.pass_context
def serve(
    ctx: click.Context,
    /,
    files: DetectorFiles,
    host: str,
    port: int,
    token: str | None,
    choices: Choices,
    newer_names: bool,
    queue: int,
    max_upload: int,
    max_pixels: int,
    patience: float,
    **options: Any,
) -> None:
    """Answer pictures with boxes over HTTP.

    \b
    POST /detect               a picture's bytes, or a form with one file; options as in ?thresh=0.5&classes=person
    POST /v1/vision/detection  the same in the shape of DeepStack and CodeProject.AI, for camera software
    GET  /                     a page to drop pictures on, with a camera and a threshold to move
    GET  /healthz, /metrics    for supervisors and Prometheus

    Nothing that a request names is opened, neither a path nor an address. Ctrl-C or SIGTERM lets what was begun be
    answered; a second one does not. Needs the extra: pip install "darknet-numba[serve]".

    Exit code 0: it was asked to end; 1: the model could not be read or the address not be had; 2: wrong options.

    \b
    Examples:
      darknet-py serve --model yolov4-tiny
      darknet-py serve --cfg my.cfg --weights my.weights --port 8080
      curl --data-binary @dog.jpg http://127.0.0.1:8632/detect
      curl -F image=@dog.jpg -F min_confidence=0.5 http://127.0.0.1:8632/v1/vision/detection
    """
    files.check(ctx)
    uvicorn = _need_uvicorn()
    from darknet_py.serve.app import create_app
    from darknet_py.serve.settings import Settings

    listener = _listen(host, port)  # before a model is downloaded and compiled in vain
    with listener:
        source = files.find(ctx)
        detector = _load(source, options)
        settings = Settings(
            name=files.model or (Path(str(source[0])).stem if source[0] else BUILT_IN),
            options=_checked(detector, choices),
            newer_names=newer_names,
            token=token,
            max_bytes=max_upload << 20,
            max_pixels=max_pixels,
            waiting=queue,
            patience=patience,
        )
        _announce(listener, settings)
        _run(uvicorn, create_app(detector, settings), listener, patience)


def _need_uvicorn() -> Any:
    try:
        import multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise click.ClickException(
            f'{error.name or "a package"} is not installed, which serve needs: pip install "darknet-numba[serve]"'
        ) from None
    return uvicorn


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise click.ClickException(
            f"{one_line(host)}:{port}: cannot be listened at ({cause}): give another --host or --port"
        ) from None


def _load(source: tuple[Any, Any, Any], options: dict[str, Any]) -> Detector:
    """The detector, after a first picture: the first request is answered as fast as any."""
    detector = open_detector(source, **options)
    load_kernels(detector.graph)
    channels, height, width = detector.graph.blob
    detector.detect(np.zeros((height // 2 + 1, width, channels), np.uint8))
    return detector


def _checked(detector: Detector, choices: Choices) -> tuple[tuple[str, Any], ...]:
    """What holds where a request does not say, once it is known that the model has such classes."""
    options = choices.options(detector.names)
    detector.selection(**options)
    return tuple(options.items())


def _announce(listener: socket.socket, settings: Any) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"Serving {settings.name} at http://{shown}:{port} (Ctrl-C ends it)")
    if host not in ("127.0.0.1", "::1") and settings.token is None:
        say("Warning: whoever reaches this address may use it: give a --token, or keep --host 127.0.0.1")


def _run(uvicorn: Any, app: Any, listener: socket.socket, patience: float) -> None:
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=math.ceil(patience),
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once all is answered
        uvicorn.Server(config).run(sockets=[listener])
    obeyed()
