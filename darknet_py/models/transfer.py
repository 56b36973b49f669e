"""One address → one part file, over HTTP: ranges, redirects, limits of time, and wrong content named for what it is.

Below `download`, which knows of mirrors, digests and other processes. Only urllib is used, with its proxies.
"""

from __future__ import annotations

import email.message
import http.client
import re
import socket
import time
import urllib.error
import urllib.request
from io import FileIO
from typing import IO, Any
from urllib.parse import urlsplit

from darknet_py.filekind import HEAD_BYTES, what_it_is
from darknet_py.models.partfile import Origin, Part
from darknet_py.models.patience import Listener, Patience, Refused
from darknet_py.models.verification import sizes_text
from darknet_py.version import installed_version

__all__ = ["Redirects", "Transfer"]

_CHUNK = 1 << 18
#: Of a file whose size is not known: a cfg or a list of names.
_LARGEST_TEXT = 1 << 20
_LONGEST_PAUSE = 30.0
#: An attempt that brings this share of the file is progress: the count of attempts begins anew.
_PROGRESS = 1 / 64


class _Broken(Exception):
    """An attempt that failed in a way that may be over next time; `wait` is the pause the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https alone, and never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            fp.close()
            raise Refused(f"redirects from {req.type} to {scheme}, which is not followed ({newurl})")
        # Python 3.10 knows 308 neither here nor below.
        return super().redirect_request(req, fp, 307 if code == 308 else code, msg, headers, newurl)

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302


class Transfer:
    """The way of one file from one address into its part file.

    Parameters
    ----------
    name : str
        Of the file, for the listener.
    url : str
        As `checked_url` gives it.
    part : Part
        Continued if it came from this address and server or digest can say whether the file is still the same.
    sizes : tuple of int
        Bytes the file may have; none if that is not known.
    has_digest : bool
        Whether the caller can tell by a digest that pieces belong together.
    patience : Patience
    listener : Listener
    """

    def __init__(
        self,
        name: str,
        url: str,
        part: Part,
        sizes: tuple[int, ...],
        *,
        has_digest: bool,
        patience: Patience,
        listener: Listener,
    ) -> None:
        self._name, self._url, self._part = name, url, part
        self._sizes, self._has_digest = sizes, has_digest
        self._patience, self._listener = patience, listener
        self._opener = urllib.request.build_opener(Redirects)
        self._pieced = False
        self._came, self._since = 0, 0.0

    def run(self) -> bool:
        """Bring the part file to its full length.

        Returns
        -------
        bool
            Whether it was put together from several answers.

        Raises
        ------
        Refused
            This address does not give the file.
        DownloadError
            It cannot be written.
        """
        attempts = 0
        while True:
            before = self._part.size()
            try:
                self._attempt()
                return self._pieced
            except _Broken as error:
                gained = self._part.size() - before
                attempts = 1 if self._sizes and gained >= _PROGRESS * max(self._sizes) else attempts + 1
                if attempts >= self._patience.attempts:
                    raise Refused(f"{error} (tried {attempts} times)") from error
                time.sleep(min(error.wait or self._patience.pause * 2 ** (attempts - 1), _LONGEST_PAUSE))

    def _attempt(self) -> None:
        offset, headers = self._offset(), {"User-Agent": f"darknet-py/{installed_version()}", "Accept": "*/*"}
        if offset and offset in self._sizes:
            self._pieced = True
            return
        if offset:
            headers["Range"] = f"bytes={offset}-"
            validator = (self._part.origin() or Origin("", "")).validator
            if validator:
                headers["If-Range"] = validator
        self._listener.connecting(self._name, self._url)
        with self._open(urllib.request.Request(self._url, headers=headers)) as response:
            self._came, self._since = 0, time.monotonic()
            self._receive(response, offset)

    def _offset(self) -> int:
        """How much of the part file can be kept."""
        size, origin = self._part.size(), self._part.origin()
        if not size or origin is None or origin.url != self._url or (self._sizes and size > max(self._sizes)):
            return 0
        return size if origin.validator or self._has_digest else 0

    def _open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=self._patience.timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise self._status_error(error) from error
        except urllib.error.URLError as error:
            raise self._connection_error(error.reason) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._connection_error(error) from error
        except ValueError as error:  # a redirect to something that is no address
            raise Refused(f"leads to no address ({error})") from error
        return response

    def _status_error(self, error: urllib.error.HTTPError) -> Exception:
        reason = f"{error.code} {error.reason}".strip()
        if error.code == 416:  # the part is longer than the file there
            self._part.discard()
            return _Broken(reason)
        if error.code in (408, 425, 429) or error.code >= 500:
            return _Broken(reason, _retry_after(error.headers))
        if 300 <= error.code < 400:
            return Refused(f"redirects in a circle, or to what is neither http nor https ({error.code})")
        return Refused(reason)

    def _connection_error(self, reason: object) -> Exception:
        if isinstance(reason, TimeoutError):
            return _Broken(f"no answer for {self._patience.timeout:g} s")
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        if isinstance(reason, socket.gaierror):  # no network, or no such host: neither is over in seconds
            return Refused(f"the host was not found ({text})")
        if isinstance(reason, OSError) and getattr(reason, "verify_message", None):
            return Refused(f"its certificate is not trusted ({reason.verify_message})")  # type: ignore[attr-defined]
        return _Broken(f"no connection ({text})")

    def _receive(self, response: http.client.HTTPResponse, offset: int) -> None:
        """Take in an answer: the rest of the file after `offset`, or the whole of it."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(f"sends the file packed ({response.headers['Content-Encoding']})")
        length = _number(response.headers.get("Content-Length"))
        if response.status == 206 and offset:
            self._check_range(response, offset)
            self._pieced = True
            total, head = None if length is None else offset + length, b""
        elif response.status == 200:
            self._pieced = False
            offset, total, head = 0, length, self._first_bytes(response)
            self._check_content(head, total)
            self._part.begin(Origin(self._url, _validator(response.headers)))
        else:
            raise Refused(f"{response.status} {response.reason}, expected 200 OK")
        self._listener.started(self._name, self._url, offset, total or max(self._sizes, default=None))
        self._copy(response, head, offset, total)

    def _check_range(self, response: http.client.HTTPResponse, offset: int) -> None:
        text = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text.strip())
        right = found and int(found[1]) == offset
        if not right or (found and self._sizes and found[2] != "*" and int(found[2]) not in self._sizes):
            self._part.discard()
            raise _Broken(f"answers with another range than was asked for ({text or 'none'})")

    def _check_content(self, head: bytes, length: int | None) -> None:
        what = what_it_is(head)
        if what:
            raise Refused(f"gives {what}")
        if length is not None and self._sizes and length not in self._sizes:
            raise Refused(f"gives a file of {length:,} bytes, expected {sizes_text(self._sizes)}")

    def _first_bytes(self, response: http.client.HTTPResponse) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES and (chunk := self._read(response, HEAD_BYTES)):
            head += chunk
            if len(head) == _number(response.headers.get("Content-Length")):
                break
        return head

    def _read(self, response: http.client.HTTPResponse, most: int = _CHUNK) -> bytes:
        try:
            data = response.read1(most)
        except TimeoutError as error:
            raise _Broken(f"stalled: no byte for {self._patience.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(f"the connection broke ({error})") from error
        self._check_pace(len(data))
        return data

    def _check_pace(self, count: int) -> None:
        """Note that `count` bytes came; a byte now and then keeps a connection alive and is no download."""
        self._came += count
        elapsed = time.monotonic() - self._since
        if elapsed >= self._patience.timeout:
            if self._came < self._patience.slowest * elapsed:
                raise _Broken(f"too slow: {self._came / elapsed:.0f} bytes per second")
            self._came, self._since = 0, time.monotonic()

    def _copy(self, response: http.client.HTTPResponse, head: bytes, done: int, total: int | None) -> None:
        limit = max(self._sizes, default=_LARGEST_TEXT)
        with self._part.writing():
            file = FileIO(self._part.path, "ab")
        with file:
            chunk = head
            while True:
                self._part.append(file, chunk)
                done += len(chunk)
                self._listener.advanced(done)
                if done > limit or done == total:
                    break
                chunk = self._read(response)
                if not chunk:
                    break
        self._check_end(done, total, limit)

    def _check_end(self, done: int, total: int | None, limit: int) -> None:
        if done > limit:
            self._part.discard()
            raise Refused(f"gives more than {limit:,} bytes")
        least = total if total is not None else min(self._sizes, default=0)
        if done < least:
            raise _Broken(f"cut off after {done:,} of {least:,} bytes")
        if self._sizes and done not in self._sizes:
            self._part.discard()
            raise Refused(f"gives a file of {done:,} bytes, expected {sizes_text(self._sizes)}")


def _validator(headers: email.message.Message) -> str:
    """What ``If-Range`` may carry: a strong ETag, else the time of last change."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _retry_after(headers: Any) -> float:
    return float(_number(headers.get("Retry-After") if headers else None) or 0)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text.strip()) else None
