"""One file from one address: answers of every kind, redirects, ranges, part files, disks."""

from __future__ import annotations

import errno
import json
import os
from io import FileIO

import pytest
from download_orders import CONTENT, DIGEST, NAME, OTHER, QUICK, Log, fail, fetch
from file_server import ranged, redirect, status, whole

from darknet_py import DownloadError, OptionError
from darknet_py.models import transfer as transfer_module
from darknet_py.models.download import checked_url, download_file, part_size

# The whole file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [True, False])
def test_file_in_one_answer(server, order, length):
    server.answers["/a"] = whole(CONTENT, length=length)
    assert fetch(order("/a")) == [f"started 0 {len(CONTENT)}", f"finished {DIGEST[:8]}"]
    assert server.ranges() == [None]
    ((_, headers),) = server.requests
    assert headers["User-Agent"].startswith("darknet-py/")


def test_chunked_answer(server, order):
    def answer(request, _):
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for start in range(0, len(CONTENT), 99_999):
            piece = CONTENT[start : start + 99_999]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        request.wfile.write(b"0\r\n\r\n")

    server.answers["/a"] = answer
    fetch(order("/a"))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(server, order, code):
    server.answers |= {"/a": redirect("/b?signature=%20x", code), "/b?signature=%20x": ranged(CONTENT)}
    fetch(order("/a"))
    assert server.paths() == ["/a", "/b?signature=%20x"]


@pytest.mark.parametrize(
    ("to", "said"),
    [("/a", "circle"), ("ftp://127.0.0.1/x", "not followed"), ("file:///etc/hosts", "neither http nor https")],
)
def test_redirects_elsewhere_are_not_followed(server, order, to, said):
    server.answers["/a"] = redirect(to)
    assert said in fail(order("/a"))


def test_redirect_from_https_to_http_is_refused():
    request = transfer_module.urllib.request.Request("https://127.0.0.1/x")
    with open(os.devnull, "rb") as body, pytest.raises(transfer_module.Refused, match="from https to http"):
        transfer_module.Redirects().redirect_request(request, body, 302, "Found", {}, "http://127.0.0.1/x")


def test_proxy_of_the_environment_is_used(server, order, monkeypatch):
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    server.answers["http://models.invalid/a"] = whole(CONTENT)
    fetch(order("http://models.invalid/a"))


# Continued downloads ------------------------------------------------------------------------------------------


def test_cut_transfer_continues_in_the_same_run(server, order):
    server.answers["/a"] = [ranged(CONTENT, cut=300_000), ranged(CONTENT, cut=500_000), ranged(CONTENT)]
    events = fetch(order("/a"))
    assert server.ranges() == [None, "bytes=300000-", "bytes=500000-"]
    assert server.requests[1][1]["If-Range"] == '"one"'
    assert [event for event in events if event.startswith("started")][1:] == [
        f"started 300000 {len(CONTENT)}",
        f"started 500000 {len(CONTENT)}",
    ]


def test_cut_transfer_continues_in_the_next_run(server, order):
    server.answers["/a"] = ranged(CONTENT, cut=300_000)
    said = fail(order("/a"))
    assert "cut off after 300,000 of 700,000 bytes" in said
    assert "300,000 bytes are kept" in said
    assert part_size(order("/a").folder, NAME) == 300_000
    server.answers["/a"] = ranged(CONTENT)
    server.requests.clear()
    fetch(order("/a"))
    assert server.ranges() == ["bytes=300000-"]


def test_progress_renews_the_attempts(server, order):
    steps = [ranged(CONTENT, cut=cut) for cut in range(50_000, 700_000, 50_000)]
    server.answers["/a"] = [*steps, ranged(CONTENT)]
    fetch(order("/a"))
    assert len(server.requests) == len(steps) + 1


def test_server_without_ranges_sends_it_all_again(server, order):
    server.answers["/a"] = [ranged(CONTENT, cut=300_000), whole(CONTENT)]
    fetch(order("/a"))
    assert server.ranges() == [None, "bytes=300000-"]


def test_file_that_changed_is_not_pieced_together(server, order):
    server.answers["/a"] = [ranged(OTHER, etag='"old"', cut=300_000), ranged(CONTENT, etag='"new"')]
    fetch(order("/a"))
    assert server.requests[1][1]["If-Range"] == '"old"'


def test_pieces_that_do_not_belong_together_are_found_by_the_digest(server, order):
    """A server that gives no validator, and another file the second time."""
    server.answers["/a"] = [ranged(OTHER, etag="", cut=300_000), ranged(CONTENT, etag="")]
    fetch(order("/a"))
    assert server.ranges() == [None, "bytes=300000-", None]


def test_without_digest_and_validator_nothing_is_continued(server, order):
    server.answers["/a"] = [ranged(OTHER, etag="", cut=300_000), ranged(CONTENT, etag="")]
    fetch(order("/a", digests=()))
    assert server.ranges() == [None, None]


def test_part_of_another_address_is_not_continued(server, order):
    server.answers |= {"/a": [ranged(OTHER, cut=300_000), status(404)], "/b": ranged(CONTENT)}
    fetch(order("/a", "/b"))
    assert server.ranges() == [None, "bytes=300000-", None]


@pytest.mark.parametrize("damage", ["longer", "complete", "no note", "broken note", "other bytes"])
def test_part_files_in_any_state(server, order, damage):
    server.answers["/a"] = ranged(CONTENT, cut=300_000)
    fail(order("/a"))
    folder = order("/a").folder
    part, note = folder / f"{NAME}.part", folder / f"{NAME}.part.json"
    assert json.loads(note.read_text())["url"] == server.url + "/a"
    if damage == "longer":
        part.write_bytes(CONTENT + b"x")
    elif damage == "complete":
        part.write_bytes(CONTENT)
    elif damage == "other bytes":
        part.write_bytes(OTHER[:300_000])
    elif damage == "no note":
        note.unlink()
    else:
        note.write_text('{"url": ')
    server.answers["/a"] = ranged(CONTENT)
    fetch(order("/a"))


def test_range_beyond_the_end_starts_anew(server, order):
    """The file there has become shorter than the part here; sizes are not known."""
    server.answers["/a"] = ranged(CONTENT + b"x" * 9, cut=700_005)
    fail(order("/a", sizes=(len(CONTENT) + 9,)))
    server.answers["/a"] = ranged(CONTENT)
    fetch(order("/a", sizes=(len(CONTENT), len(CONTENT) + 9)))
    assert server.ranges()[-2:] == ["bytes=700005-", None]


def test_wrong_range_is_not_taken(server, order):
    def shifted(request, _):
        request.send_response(206)
        request.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        request.end_headers()
        request.wfile.write(CONTENT)

    server.answers["/a"] = [ranged(CONTENT, cut=300_000), shifted, ranged(CONTENT)]
    fetch(order("/a"))
    assert server.ranges() == [None, "bytes=300000-", None]


# Addresses, disks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "some.weights", "ftp://h/x", "file:///x", "http://", "http://[::1/x", "http://h:x/"]
)
def test_what_is_no_address(text):
    with pytest.raises(OptionError):
        checked_url(text)


def test_addresses_are_escaped(server, order):
    server.answers["/a%20b/%C3%A9"] = whole(CONTENT)
    fetch(order("/a b/é"))


def test_what_is_there_stays_unless_forced(server, order):
    server.answers["/a"] = whole(CONTENT)
    wanted = order("/a")
    wanted.folder.mkdir()
    wanted.target.write_bytes(CONTENT)
    assert fetch(wanted) == []
    wanted.target.write_bytes(OTHER)
    assert fetch(wanted, force=True)[-1].startswith("finished")
    server.answers["/a"] = status(404)
    with pytest.raises(DownloadError):
        download_file(wanted, force=True, patience=QUICK, listener=Log())
    assert wanted.target.read_bytes() == CONTENT


def test_folder_that_cannot_be_made(server, order, tmp_path):
    (tmp_path / "models").write_text("a file")
    said = fail(order("/a"))
    assert "cannot be written to" in said and "DARKNET_PY_MODELS_DIR" in said
    assert server.requests == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write anywhere")
def test_folder_that_cannot_be_written_to(order):
    wanted = order("/a")
    wanted.folder.mkdir(mode=0o500)
    assert "Permission denied" in fail(wanted)


def test_full_disk_keeps_what_was_written(server, order, monkeypatch):
    class Full(FileIO):
        def write(self, data):
            if self.tell() + len(data) > 300_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:100_000])  # and writes may be partial

    monkeypatch.setattr(transfer_module, "FileIO", Full)
    server.answers |= {"/a": ranged(CONTENT), "/b": ranged(CONTENT)}
    said = fail(order("/a", "/b"))
    assert "No space left on device" in said and "bytes are kept and will be continued" in said
    assert server.paths() == ["/a"]  # no other address mends a disk
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    fetch(order("/a"))
    assert server.ranges()[1] is not None


def test_file_that_cannot_take_its_place(server, order, monkeypatch):
    def replace(*_: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(os, "replace", replace)
    server.answers["/a"] = whole(CONTENT)
    assert "cannot be written (in use)" in fail(order("/a"))


def test_interruption_leaves_a_part_that_is_continued(server, order):
    class Impatient(Log):
        def advanced(self, done: int) -> None:
            if done > 200_000:
                raise KeyboardInterrupt

    server.answers["/a"] = ranged(CONTENT)
    with pytest.raises(KeyboardInterrupt):
        download_file(order("/a"), patience=QUICK, listener=Impatient())
    kept = part_size(order("/a").folder, NAME)
    assert 200_000 < kept < len(CONTENT)
    fetch(order("/a"))
    assert server.ranges() == [None, f"bytes={kept}-"]
