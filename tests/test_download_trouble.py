"""Servers that refuse, stall, crawl, or hand out something else; mirrors in order; no network."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from download_orders import CONTENT, DIGEST, NAME, OTHER, PAGE, POINTER, fail, fetch
from file_server import ranged, silent, stalled, status, trickling, whole

from darknet_py import WeightsError
from darknet_py.models import transfer as transfer_module
from darknet_py.models.download import Order, part_size

# Servers in trouble -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_refusals_go_on_to_the_next_address_at_once(server, order, code):
    server.answers |= {"/a": status(code, PAGE), "/b": whole(CONTENT)}
    assert fetch(order("/a", "/b"))[0].startswith(f"failed {code} ")
    assert server.paths() == ["/a", "/b"]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_passing_trouble_is_tried_again(server, order, code):
    server.answers["/a"] = [status(code, Retry_After="0"), whole(CONTENT)]
    fetch(order("/a"))
    server.answers["/a"] = status(code)
    said = fail_again(order, "/a")
    assert f"{code} " in said and "tried 3 times" in said


def fail_again(order: Callable[..., Order], path: str) -> str:
    order(path).target.unlink()
    return fail(order(path))


def test_pause_that_a_server_asks_for(server, order, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(transfer_module.time, "sleep", pauses.append)
    server.answers["/a"] = [status(503, Retry_After="7"), status(503, Retry_After="4000"), whole(CONTENT)]
    fetch(order("/a"))
    assert pauses == [7, 30]


def test_addresses_in_order_with_the_reason_of_each(server, order):
    server.answers |= {"/a": status(403), "/b": whole(PAGE), "/c": whole(CONTENT[:-4]), "/d": whole(CONTENT)}
    events = fetch(order("/a", "/b", "/c", "/d"))
    assert server.paths() == ["/a", "/b", "/c", "/d"]
    assert [event[:12] for event in events[:3]] == ["failed 403 F", "failed gives", "failed gives"]
    order("/a").target.unlink()
    said = fail(order("/a", "/b", "/c", note="has answered 403 before"))
    for expected in (
        f"{server.url}/a: 403 Forbidden; this address has answered 403 before",
        f'{server.url}/b: gives a web page ("Not & found here")',
        f"{server.url}/c: gives a file of 699,996 bytes, expected 700,000 bytes",
        f"700,000 bytes, SHA-256 {DIGEST}",
        f"belongs at {order('/a').target}",
    ):
        assert expected in said


def test_stalled_server(server, order):
    server.answers |= {"/a": stalled(CONTENT, 300_000), "/b": ranged(CONTENT)}
    (failed,) = [event for event in fetch(order("/a", "/b")) if event.startswith("failed")]
    assert "stalled: no byte for 0.4 s" in failed


def test_stalled_server_continues(server, order):
    server.answers["/a"] = [stalled(CONTENT, 300_000), ranged(CONTENT)]
    fetch(order("/a"))
    assert server.ranges() == [None, "bytes=300000-"]


def test_silent_server(server, order):
    server.answers |= {"/a": silent, "/b": whole(CONTENT)}
    assert "no answer for 0.4 s (tried 3 times)" in fetch(order("/a", "/b"))[0]


def test_server_that_is_too_slow(server, order):
    server.answers |= {"/a": trickling(CONTENT, 0.05), "/b": whole(CONTENT)}
    (failed,) = [event for event in fetch(order("/a", "/b")) if event.startswith("failed")]
    assert "too slow" in failed


def test_nobody_listens(order):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert "no connection (Connection refused)" in fail(order(f"http://127.0.0.1:{port}/a"))


def test_no_network_is_one_message_with_address_and_place(order, monkeypatch):
    def lookup(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    wanted = order("http://one.invalid/a", "http://two.invalid/a")
    said = fail(wanted)
    assert "http://one.invalid/a: the host was not found (Name or service not known)" in said
    assert "http://two.invalid/a" in said
    assert f"belongs at {wanted.target}" in said


# Wrong content ------------------------------------------------------------------------------------------------


WRONG = {
    "page": (PAGE, 'a web page ("Not & found here")'),
    "long page": (b"  <html lang=en>" + b"x" * 700_000, "a web page"),
    "LFS pointer": (POINTER, "a Git LFS pointer that stands for a file of 257,717,640 bytes"),
    "XML": (b"<?xml version='1.0'?><Error/>", "an XML document"),
    "JSON": (b'{"message": "Not Found"}', "a JSON document"),
    "too long": (CONTENT + b"1234", "a file of 700,004 bytes"),
    "too short": (CONTENT[:-4], "a file of 699,996 bytes"),
    "empty": (b"", "a file of 0 bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_content_is_named_and_not_kept(server, order, case):
    content, said = WRONG[case]
    server.answers["/a"] = whole(content, Content_Type="application/octet-stream")
    assert f"gives {said}" in fail(order("/a"))
    assert part_size(order("/a").folder, NAME) == 0
    assert len(server.requests) == 1


@pytest.mark.parametrize("case", WRONG)
def test_wrong_content_of_unsaid_length(server, order, case):
    content, said = WRONG[case]
    server.answers["/a"] = whole(content, length=False)
    instead = {"too long": "more than 700,000 bytes", "too short": "cut off after 699,996", "empty": "cut off after 0"}
    assert instead.get(case, said) in fail(order("/a"))


def test_page_of_the_right_size_is_a_page(server, order):
    server.answers["/a"] = whole(PAGE.ljust(len(CONTENT)))
    assert "a web page" in fail(order("/a"))


def test_packed_answer_is_refused(server, order):
    server.answers["/a"] = whole(CONTENT, Content_Encoding="gzip")
    assert "packed (gzip)" in fail(order("/a"))


def test_another_digest_of_the_right_size_is_taken(server, order):
    """`models` warns of it, each time it is used."""
    server.answers["/a"] = whole(CONTENT)
    assert fetch(order("/a", digests=("0" * 64,)))[-1] == f"finished {DIGEST[:8]}"


@pytest.mark.parametrize("options", [{"untried": True}, {"sizes": ()}], ids=["untried address", "no size known"])
def test_another_digest_is_refused_where_it_decides(server, order, options):
    server.answers |= {"/a": whole(OTHER), "/b": whole(CONTENT)}
    said = fail(order("/a", **options))
    assert f"SHA-256 {hashlib.sha256(OTHER).hexdigest()}, expected {DIGEST}" in said
    assert "gives another file: SHA-256" in fetch(order("/a", "/b", **options))[1]


def test_texts_have_a_limit(server, order):
    server.answers["/a"] = whole(bytes(1 << 21))
    assert "more than 1,048,576 bytes" in fail(order("/a", sizes=()))


def test_file_that_its_check_refuses(server, order):
    def check(part: Path) -> None:
        raise WeightsError(f"{part}: no weights")

    wanted = order("/a")
    server.answers["/a"] = whole(CONTENT)
    assert "no weights" in fail(replace(wanted, check=check))
    assert part_size(wanted.folder, NAME) == 0
