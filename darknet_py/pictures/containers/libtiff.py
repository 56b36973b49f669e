"""What Pillow's libtiff says, as log records instead of lines on file descriptor 2.

It is the one decoder here that prints: on damage inside compressed strips. Its handler is one per process, so ours
stays, and asks in which thread it is called: within `heard` the line becomes a record that names the file, anywhere
else it goes on to the handler of before. No lock is taken, and nobody's descriptors are touched.

libtiff is found where it is a library of its own, as in Pillow's wheels for Linux and macOS and in distributions.
Those for Windows have it inside: there it prints.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL

__all__ = ["heard"]

_log = logging.getLogger(__name__)

#: Lines of one file that are logged; damage may have thousands.
_MOST_LINES = 3

_thread = threading.local()
_installing = threading.Lock()
_handlers: list[Any] | None = None  # ctypes' functions must outlive their use


@contextmanager
def heard(where: str) -> Iterator[None]:
    """Within, what libtiff says in this thread is logged as said of `where`."""
    if _handlers is None:
        _install()
    before = getattr(_thread, "lines", None)
    lines: list[str] = []
    _thread.lines = lines
    try:
        yield
    finally:
        _thread.lines = before
        for line in lines[:_MOST_LINES]:
            _log.warning("%s: libtiff: %s", where, line)
        if len(lines) > _MOST_LINES:
            _log.warning("%s: libtiff: %d more of these", where, len(lines) - _MOST_LINES)


def _install() -> None:
    global _handlers
    with _installing:
        if _handlers is not None:
            return
        handlers = []
        try:
            library = _library()
            if library is not None:
                print_to = ctypes.CDLL(None).vsnprintf
                print_to.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]
                for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                    handlers.append(_replace(getattr(library, name), print_to))
        except (OSError, AttributeError, TypeError) as error:
            _log.debug("libtiff's handlers stay as they are: %s", error)
        _handlers = handlers


def _library() -> ctypes.CDLL | None:
    if os.name == "nt":
        return None
    importlib.import_module("PIL._imaging")  # loads it
    folder = Path(PIL.__file__).parent
    bundled = [*folder.parent.glob("[pP]illow.libs/libtiff*"), *folder.glob(".dylibs/libtiff*")]
    loaded = getattr(os, "RTLD_NOLOAD", 0) | getattr(os, "RTLD_LAZY", 1)
    shared = ("libtiff.6.dylib", "libtiff.5.dylib") if sys.platform == "darwin" else ("libtiff.so.6", "libtiff.so.5")
    for name in [*map(str, bundled), *shared]:
        try:
            return ctypes.CDLL(name, mode=loaded)
        except OSError:
            continue
    return None


#: (module, format, va_list): the last is passed on as it comes, a pointer wherever this runs.
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)


def _replace(setter: Any, print_to: Any) -> Any:
    setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
    before: Any = None

    def handle(module: bytes | None, form: bytes | None, arguments: int | None) -> None:
        lines = getattr(_thread, "lines", None)
        if lines is None:
            if before is not None:
                before(module, form, arguments)
            return
        text = ctypes.create_string_buffer(300)
        print_to(text, len(text), form, arguments)
        lines.append(text.value.decode("latin-1"))

    ours = _Handler(handle)
    address = setter(ctypes.cast(ours, ctypes.c_void_p))
    before = _Handler(address) if address else None
    atexit.register(setter, address)
    return ours
