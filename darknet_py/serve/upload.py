"""One picture's bytes out of a request, in memory, however it is sent, slowly or endlessly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

__all__ = ["Refused", "Upload", "read_upload"]

#: Form fields and files of a request: the picture, a threshold, a key, what some clients add.
_MOST_PARTS = 16

#: Seconds for which a body is received that will not be looked at.
_LINGERING = 5.0


class Refused(Exception):
    """A request that is answered by a status and one line.

    Attributes
    ----------
    status : int
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Upload:
    """What a request brought: a picture's file, and the fields that came with it."""

    data: bytes
    fields: dict[str, str] = field(default_factory=dict)


async def read_upload(request: Request, *, max_bytes: int, patience: float) -> Upload:
    """The picture of a POST: the body itself, or the only file of a form.

    Raises
    ------
    Refused
        400 for no picture, or no form where one was announced; 408 for a body that does not arrive in time; 413 for
        one that is too large; 415 for JSON.
    """
    if _length(request) > max_bytes:
        await _let_pass(request)
        raise _too_large(max_bytes)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    # Any other kind is taken for a picture: curl --data-binary says application/x-www-form-urlencoded.
    if kind == "application/json":
        raise Refused(
            415, f"a body of {kind}: expected the bytes of an image file, or multipart/form-data with one file"
        )
    body = _bounded(request, max_bytes)
    read = _form(request, body, max_bytes) if kind == "multipart/form-data" else _whole(body)
    try:
        upload = await asyncio.wait_for(read, patience)
    except asyncio.TimeoutError:  # another class before Python 3.11
        raise Refused(408, f"the body did not arrive within {patience:g} s: send a smaller picture") from None
    except ClientDisconnect:
        raise Refused(400, "the connection was closed before the picture had arrived") from None
    if not upload.data:
        raise Refused(400, "no picture: expected the bytes of an image file as the body, or one file in a form")
    return upload


def _length(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


async def _let_pass(request: Request) -> None:
    """Read on for a moment and drop it: many clients look for the answer only when all has been sent."""
    if request.headers.get("expect", "").lower() == "100-continue":  # this one asks first
        return

    async def read() -> None:
        async for _ in request.stream():
            pass

    with suppress(asyncio.TimeoutError, ClientDisconnect):
        await asyncio.wait_for(read(), _LINGERING)


def _too_large(max_bytes: int) -> Refused:
    return Refused(413, f"a body of more than {max_bytes} bytes: send a smaller picture, or allow more by --max-upload")


async def _bounded(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


async def _whole(body: AsyncGenerator[bytes, None]) -> Upload:
    return Upload(b"".join([chunk async for chunk in body]))


async def _form(request: Request, body: AsyncGenerator[bytes, None], max_bytes: int) -> Upload:
    parser = MultiPartParser(request.headers, body, max_files=_MOST_PARTS, max_fields=_MOST_PARTS)
    parser.spool_max_size = max_bytes + 1  # nothing is written to a disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"the form cannot be read ({error.message}): expected multipart/form-data") from None
    except (UnicodeError, ValueError, KeyError, LookupError, AssertionError):
        raise Refused(400, "the form cannot be read: expected multipart/form-data with one file") from None
    try:
        return await _picture_of(form.multi_items())
    finally:
        await form.close()


async def _picture_of(items: list[tuple[str, Any]]) -> Upload:
    files = [(name, value) for name, value in items if isinstance(value, UploadFile)]
    fields = {name: value for name, value in items if isinstance(value, str)}
    if not files:
        named = ", ".join(sorted(fields)) or "nothing"
        raise Refused(400, f"no file in the form (it has {named[:200]}): expected one, as by curl -F image=@photo.jpg")
    if len(files) > 1:
        raise Refused(400, f"{len(files)} files in the form: expected one picture a request")
    return Upload(await files[0][1].read(), fields)
