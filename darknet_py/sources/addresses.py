"""Pictures at addresses of the web: fetched whole, within limits of size and time, and only http and https."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from darknet_py.errors import ImageError
from darknet_py.filekind import what_it_is
from darknet_py.limits import Limits, variable_of
from darknet_py.models.patience import Patience, Refused
from darknet_py.models.transfer import Redirects
from darknet_py.pictures.containers.kinds import HEAD, begins_as_picture
from darknet_py.sources.input_kinds import without_password
from darknet_py.version import installed_version

__all__ = ["Answer", "fetch_picture", "open_address", "read_limited"]

_CHUNK = 1 << 18

#: A person waits for it, and others come after it.
PATIENCE = Patience(timeout=10.0, attempts=3, pause=0.5)


class _Broken(Exception):
    """An attempt that failed in a way that may be over next time."""


class _Basic(urllib.request.HTTPBasicAuthHandler):
    """Closes the answer that asks for a password, which urllib leaves open."""

    def http_error_401(self, req: Any, fp: Any, *rest: Any) -> Any:
        fp.close()
        return super().http_error_401(req, fp, *rest)


class _Digest(urllib.request.HTTPDigestAuthHandler):
    """As `_Basic`."""

    def http_error_401(self, req: Any, fp: Any, *rest: Any) -> Any:
        fp.close()
        return super().http_error_401(req, fp, *rest)


class Answer(NamedTuple):
    """What an address answers with: its kind as the server has it, the first bytes, and the rest to come."""

    content_type: str
    head: bytes
    response: http.client.HTTPResponse

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture, and not a stream of them."""
        return begins_as_picture(self.head) or self.content_type.startswith("image/")

    @property
    def is_text(self) -> bool:
        """Whether it is a page or another text, by what the server says."""
        return self.content_type.startswith("text/") or self.content_type == "application/json"


def fetch_picture(url: str, patience: Patience = PATIENCE) -> bytes:
    """The bytes of the picture at an address.

    Raises
    ------
    ImageError
        The address does not answer, not with a picture, or with one of too many bytes.
    """
    name = without_password(url)
    for attempt in range(1, patience.attempts + 1):
        try:
            answer = _ask(url, patience)
            with answer.response:
                return _picture(answer, name, patience)
        except _Broken as error:
            if attempt == patience.attempts:
                raise ImageError(f"{name}: {error} (tried {attempt} times)") from error
            time.sleep(patience.pause * 2 ** (attempt - 1))
        except Refused as error:
            raise ImageError(f"{name}: {error}") from error
    raise AssertionError("an attempt returns or raises")


def open_address(url: str, patience: Patience = PATIENCE) -> Answer:
    """Ask once what an address has; who asks closes the answer.

    Raises
    ------
    ImageError
    """
    try:
        return _ask(url, patience)
    except (_Broken, Refused) as error:
        raise ImageError(f"{without_password(url)}: {error}") from error


def _ask(url: str, patience: Patience) -> Answer:
    try:
        plain, credentials = _apart(url)
    except ValueError as error:
        raise Refused(f"no address: {error}") from error
    opener = urllib.request.build_opener(Redirects, *credentials)
    try:
        request = urllib.request.Request(
            plain, headers={"User-Agent": f"darknet-py/{installed_version()}", "Accept": "*/*"}
        )
        response: http.client.HTTPResponse = opener.open(request, timeout=patience.timeout)
    except urllib.error.HTTPError as error:
        error.close()
        reason = error.reason or http.client.responses.get(error.code, "")
        if str(reason).startswith(Redirects.inf_msg):
            reason = "and leads round in circles"
        failure = f"answers {error.code} {reason}".rstrip()
        raise (_Broken if error.code in (408, 425, 429) or error.code >= 500 else Refused)(failure) from None
    except TimeoutError as error:
        raise _Broken(f"no answer for {patience.timeout:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"cannot be reached ({getattr(error, 'reason', None) or error})") from error
    except ValueError as error:
        raise Refused(f"no address: {error}") from error
    head, since = b"", time.monotonic()
    try:
        while len(head) < HEAD and (chunk := _read(response, HEAD - len(head), patience)):
            head += chunk
            _check_pace(len(head), since, patience)
    except BaseException:
        response.close()
        raise
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Answer(kind, head, response)


def _apart(url: str) -> tuple[str, list[urllib.request.BaseHandler]]:
    """The address without user and password, and what tells them to the server."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, []
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    secrets = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    secrets.add_password(None, plain, unquote(parts.username), unquote(parts.password or ""))
    return plain, [_Basic(secrets), _Digest(secrets)]


def _read(response: http.client.HTTPResponse, most: int, patience: Patience) -> bytes:
    try:
        return response.read1(most)
    except TimeoutError as error:
        raise _Broken(f"stalled: no byte for {patience.timeout:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"the connection broke ({error})") from error


def _check_pace(count: int, since: float, patience: Patience) -> None:
    elapsed = time.monotonic() - since
    if elapsed >= patience.timeout and count < patience.slowest * elapsed:
        raise _Broken(f"too slow: {count / elapsed:.0f} bytes per second")


def _picture(answer: Answer, name: str, patience: Patience) -> bytes:
    """The rest of an answer, within the limits."""
    if answer.head and not answer.is_picture:
        what = what_it_is(answer.head) or f"{answer.content_type or 'something'}, which is no picture"
        raise Refused(f"gives {what}")
    most, length = Limits.from_environment().max_bytes, answer.response.length
    data, since = bytearray(answer.head), time.monotonic()
    _check_size(len(data) + (length or 0), name, most)
    while chunk := _read(answer.response, _CHUNK, patience):
        data += chunk
        _check_size(len(data), name, most)
        _check_pace(len(data), since, patience)
    if not data:
        raise Refused("answers without a byte")
    if answer.response.length:
        raise _Broken(f"cut off, {answer.response.length:,} bytes before its end")
    return bytes(data)


def read_limited(file: BinaryIO, head: bytes, name: str) -> bytes:
    """`head` and all that follows in a file.

    Raises
    ------
    ImageError
        It is more than the limit allows.
    """
    most = Limits.from_environment().max_bytes
    data = bytearray(head)
    _check_size(len(data), name, most)
    while chunk := file.read(_CHUNK):
        data += chunk
        _check_size(len(data), name, most)
    return bytes(data)


def _check_size(size: int, name: str, most: int) -> None:
    if size > most:
        raise ImageError(
            f"{name}: more than the {most:,} bytes that a picture from elsewhere may have; {variable_of('max_bytes')} "
            "sets the limit"
        )
