"""What names on a command line stand for: files, directories, patterns, lists, standard input, addresses."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import scene
from file_server import FileServer, redirect, stalled, status, whole
from PIL import Image
from stream_server import jpeg

from darknet_py.errors import DarknetError
from darknet_py.models.patience import Patience
from darknet_py.sources import Choice, addresses, lists
from darknet_py.sources.input_kinds import without_password
from darknet_py.sources.item import Source
from darknet_py.sources.opening import Asked, gather, open_sources


def picture(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene((1, 1))).save(path)
    return str(path)


def names(*inputs: object, **asked: Any) -> list[str]:
    return [
        one if isinstance(one, str) else str(one.error) for one in gather([str(one) for one in inputs], Asked(**asked))
    ]


def opened(*inputs: object, **asked: Any) -> list[Source]:
    return list(open_sources(gather([str(one) for one in inputs], Asked(**asked)), Asked(**asked)))


def error_of(source: Source) -> str:
    with pytest.raises(DarknetError) as caught:
        next(source.items()).load("rgb")
    return str(caught.value)


def shape_of(source: Source) -> tuple[int, ...]:
    return next(source.items()).load("rgb").shape


def test_a_directory_has_pictures_and_videos_and_more_on_request(tmp_path: Path) -> None:
    top, inner = picture(tmp_path / "b.png"), picture(tmp_path / "a" / "deep" / "x.png")
    (tmp_path / "c.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (tmp_path / "notes.txt").write_text("none")
    picture(tmp_path / ".hidden" / "no.png")
    drawn = picture(tmp_path / "drawn" / "b.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    video = str(tmp_path / "c.mp4")
    assert names(tmp_path) == [top, video]
    assert names(tmp_path, recursive=True) == [top, video, inner, drawn]
    assert names(tmp_path, recursive=True, leave_out=tmp_path / "drawn") == [top, video, inner]
    (only,) = names(tmp_path / "a")
    assert "no picture and no video in this directory" in only and "--recursive" in only


def test_a_pattern_reaches_into_directories(tmp_path: Path) -> None:
    inner = picture(tmp_path / "a" / "deep" / "x.png")
    assert names(f"{tmp_path}/**/*.png") == [inner]
    odd = picture(tmp_path / "[1].png")
    assert names(odd) == [odd]
    assert "no file matches" in names(f"{tmp_path}/*.bmp")[0]


@pytest.mark.parametrize("lines", ["{0}\n{1}\n", "\ufeff{0}\r\n\r\n  {1}  \r\n", "{0}\n{1}"])
def test_a_list_has_a_name_on_each_line(lines: str, tmp_path: Path) -> None:
    first, second = picture(tmp_path / "a b.png"), picture(tmp_path / "é.png")
    listed = tmp_path / "all.txt"
    listed.write_text(lines.format(first, second), encoding="utf-8", newline="")
    assert names(listed) == [first, second]


def test_names_in_a_list_may_be_of_its_folder_and_of_any_kind(tmp_path: Path) -> None:
    near, folder = picture(tmp_path / "near.png"), tmp_path / "more"
    far = picture(folder / "far.png")
    (tmp_path / "all.txt").write_text("near.png\nmore\nhttp://127.0.0.1:9/x.jpg\nmissing.png\nall.txt\n")
    found = names(tmp_path / "all.txt")
    assert found[:4] == [near, far, "http://127.0.0.1:9/x.jpg", "missing.png"]
    assert "a list in a list" in found[4]


def test_remarks_in_a_list_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, odd = picture(tmp_path / "one.png"), picture(tmp_path / "#2.png")
    text = "# of today\n\none.png\n  #2.png\n#3.png\n"
    (tmp_path / "all.txt").write_text(text)
    assert names(tmp_path / "all.txt") == [one, odd]
    monkeypatch.chdir(tmp_path)
    stdin = SimpleNamespace(buffer=io.BytesIO(text.encode()), closed=False)
    monkeypatch.setattr(lists.sys, "stdin", stdin)  # type: ignore[attr-defined]
    assert [source.name for source in opened("-")] == ["one.png", "#2.png"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "an empty list"), (b"\n \n", "an empty list"), (b"# none\n", "an empty list"), (b"\1\2\3", "neither")],
)
def test_what_is_no_list(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    assert said in names(tmp_path / "x.txt")[0]


def test_a_picture_called_like_a_list_is_one(tmp_path: Path) -> None:
    Image.fromarray(scene((1, 1))).save(tmp_path / "x.txt", "PNG")
    (source,) = opened(tmp_path / "x.txt")
    assert shape_of(source) == (96, 128, 3)


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_cannot_be(name: str) -> None:
    (source,) = opened(name)
    assert error_of(source)


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(lists.sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(data)), closed=False))  # type: ignore[attr-defined]


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_paths_over_standard_input(separator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b c.png")
    feed(monkeypatch, separator.join([first, second, ""]).encode())
    assert [source.name for source in opened("-")] == [first, second]


def test_paths_are_looked_at_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b.png")
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "wb", buffering=0) as writer:
        monkeypatch.setattr(lists.sys, "stdin", SimpleNamespace(buffer=reader, closed=False))  # type: ignore[attr-defined]
        sources = open_sources(["-"], Asked())
        writer.write(f"{first}\n".encode())
        assert next(sources).name == first  # the other end is still open
        writer.write(f"{second}\n".encode())
        assert next(sources).name == second
        writer.close()
        assert next(sources, None) is None


def test_a_picture_over_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, jpeg(1))
    (source,) = opened("-")
    assert source.name == "-" and shape_of(source) == (96, 128, 3)
    feed(monkeypatch, jpeg(1)[:500])
    (source,) = opened("-")
    assert error_of(source).startswith("-: ")
    monkeypatch.setenv("DARKNET_PY_MAX_BYTES", "800")
    feed(monkeypatch, jpeg(1))
    (source,) = opened("-")
    assert "more than the 800 bytes" in error_of(source)


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "nothing came"), (b"\n\n", "nothing came"), (b"\1\2\3\4", "neither text")]
)
def test_standard_input_without_use(data: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, data)
    (source,) = opened("-")
    assert said in error_of(source)


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists.sys, "stdin", None)  # type: ignore[attr-defined]
    assert "closed" in error_of(opened("-")[0])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "PATIENCE", Patience(timeout=0.3, attempts=2, pause=0.01))
    for function in (addresses.fetch_picture, addresses.open_address):
        monkeypatch.setattr(function, "__defaults__", (addresses.PATIENCE,))


@pytest.mark.usefixtures("impatient")
def test_pictures_at_addresses(server: FileServer) -> None:
    server.answers["/a.jpg"] = whole(jpeg(1), **{"Content-Type": "image/jpeg"})
    server.answers["/snapshot"] = whole(jpeg(2), length=False)
    server.answers["/moved"] = redirect(server.url + "/a.jpg")
    for path in ("/a.jpg", "/snapshot", "/moved", "/a.jpg?size=9"):
        server.answers.setdefault(path, server.answers["/a.jpg"])
        (source,) = opened(server.url + path)
        assert source.kind == "picture" and source.name == (server.url + path)
        assert shape_of(source) == (96, 128, 3)


@pytest.mark.usefixtures("impatient")
def test_addresses_that_give_no_picture(server: FileServer) -> None:
    server.answers |= {
        "/none.jpg": status(404, b"no"),
        "/busy.jpg": status(503),
        "/page.jpg": whole(b"<html><title>Log in</title>", **{"Content-Type": "text/html"}),
        "/page": whole(b"<html><title>Log in</title>", **{"Content-Type": "text/html"}),
        "/cut.jpg": stalled(jpeg(1), 500),
        "/other.jpg": redirect("file:///etc/passwd"),
        "/bytes.jpg": whole(bytes(9999)),
        "/empty.jpg": whole(b"", **{"Content-Type": "image/jpeg"}),
        "/round.jpg": redirect("/round.jpg"),
    }
    said = {
        "/none.jpg": "answers 404",
        "/busy.jpg": r"answers 503 Service Unavailable (tried 2 times)",
        "/page.jpg": "gives a web page",
        "/page": "gives text/html, expected a picture or a video",
        "/cut.jpg": "stalled: no byte for 0.3 s (tried 2 times)",
        "/other.jpg": "not allowed",
        "/bytes.jpg": "which is no picture",
        "/empty.jpg": "answers without a byte",
        "/round.jpg": "answers 302 and leads round in circles",
    }
    for path, expected in said.items():
        (source,) = opened(server.url + path)
        message = error_of(source)
        assert message.startswith(server.url + path) and expected in message, message
    assert "cannot be reached" in error_of(opened("http://127.0.0.1:9/x.jpg")[0])


@pytest.mark.usefixtures("impatient")
def test_large_answers_are_refused(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_MAX_BYTES", "1000")
    for path, known in (("/a.jpg", True), ("/b.jpg", False)):
        server.answers[path] = whole(jpeg(1) + bytes(5000), length=known, **{"Content-Type": "image/jpeg"})
        assert "more than the 1,000 bytes" in error_of(opened(server.url + path)[0])


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.jpg", "https://127.0.0.1/x.mp4", "rtsp://127.0.0.1/live"])
def test_offline_forbids_connections(address: str) -> None:
    (source,) = opened(address, offline="DARKNET_PY_OFFLINE")
    assert error_of(source).startswith(f"{address}: DARKNET_PY_OFFLINE forbids connections")


@pytest.mark.parametrize("address", ["ftp://x/a.jpg", "file:///etc/passwd", "concat://a.mp4", "s3://x/y"])
def test_other_schemes_are_not_read(address: str) -> None:
    assert f"{address.split(':')[0]}:// is not read" in error_of(opened(address)[0])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rtsp://me:secret@camera:554/live?x=1", "rtsp://me@camera:554/live?x=1"),
        ("http://me@camera/", "http://me@camera/"),
        ("http://camera/a@b:c", "http://camera/a@b:c"),
        ("me:secret@x.jpg", "me:secret@x.jpg"),
    ],
)
def test_passwords_are_not_shown(name: str, shown: str) -> None:
    assert without_password(name) == shown


def test_a_password_is_told_to_the_server_alone(server: FileServer) -> None:
    server.answers["/a.jpg"] = status(401, b"", **{"WWW-Authenticate": 'Basic realm="x"'})
    (source,) = opened((server.url + "/a.jpg").replace("//", "//me:secret@"))
    assert "secret" not in error_of(source) and "secret" not in source.name
    assert any(headers.get("Authorization", "").startswith("Basic ") for _, headers in server.requests)


def test_a_camera_is_a_number_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened("0")[0].kind == "live"
    picture(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "0")
    (source,) = opened("0")
    assert source.kind == "picture" and shape_of(source) == (96, 128, 3)


def test_a_video_is_told_by_its_bytes(tmp_path: Path) -> None:
    for name, head, kind in (
        ("clip", b"\0\0\0\x18ftypisom", "video"),
        ("x.jpg", b"\x1a\x45\xdf\xa3", "video"),
        ("y.bin", (b"G" + bytes(187)) * 5, "video"),
        ("z.mp4", b"?", "video"),
        ("a.ts", b"export const x = 1", "picture"),
        ("b.cr3", b"\0\0\0\x18ftypcrx ", "picture"),
        ("c.mp4", b"\x89PNG\r\n\x1a\n", "picture"),
    ):
        (tmp_path / name).write_bytes(head)
        assert opened(tmp_path / name)[0].kind == kind, name
    assert opened(tmp_path / "none.mp4")[0].kind == "video"
    assert opened(tmp_path / "z.mp4", choice=Choice(latest=True))[0].kind == "live"
    assert "no such file" in error_of(opened(tmp_path / "none.jpg")[0])
