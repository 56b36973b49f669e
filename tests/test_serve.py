"""What a server answers: boxes in two shapes, and one line and the right status for whatever cannot be answered."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import scene
from serving import NAME, Serving, boxes, form, picture, serving, settled

from darknet_py import Detections
from darknet_py.serve.answers import deepstack, own
from darknet_py.serve.engine import Found

MOST_BYTES = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("served"), max_bytes=MOST_BYTES, max_pixels=50_000, patience=20.0) as running:
        yield running


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


# Answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "image/png"}, {"Content-Type": "application/x-www-form-urlencoded"}]
)
def test_a_picture_as_the_body(headers: dict[str, str], server: Serving) -> None:
    expected = server.detector.detect(scene((1, 1), (2, 0)))
    answer = server.post("/detect", picture((1, 1), (2, 0)), headers)
    assert (answer.status, answer.json["model"]) == (200, NAME)
    assert (answer.json["width"], answer.json["height"]) == (128, 96)
    assert [one["class_name"] for one in answer.json["detections"]] == list(expected.class_names) and len(expected) > 1
    np.testing.assert_array_equal(boxes(answer), expected.xyxy)
    assert [np.float32(one["confidence"]) for one in answer.json["detections"]] == list(expected.confidence)
    assert all(0 <= milliseconds < 60_000 for milliseconds in answer.json["timings"].values())


def test_a_form(server: Serving) -> None:
    body, headers = form(picture((1, 1)), thresh="0.1", names="coco")
    answer = server.post("/detect", body, headers)
    assert (answer.status, len(answer.json["detections"])) == (200, 1)


def test_options_in_the_query(server: Serving) -> None:
    assert server.post("/detect?thresh=1", picture((1, 1))).json["detections"] == []
    assert server.post("/detect?classes=cat", picture((1, 1))).json["detections"] == []
    assert len(server.post("/detect?classes=dog,0&nms=.3", picture((1, 1))).json["detections"]) == 1
    assert (
        len(server.post("/detect?max_det=1&agnostic=1&single_class=true", picture((1, 1), (3, 2))).json["detections"])
        == 1
    )


def test_deepstack(server: Serving) -> None:
    body, headers = form(picture((0, 0), (3, 2)), min_confidence="0.2", api_key="", anything="else")
    answer = server.post("/v1/vision/detection", body, headers).json
    found = server.detector.detect(scene((0, 0), (3, 2)), 0.2).clipped().sorted()
    assert answer["success"] is True and answer["count"] == len(found) == len(answer["predictions"])
    for one, expected in zip(answer["predictions"], found, strict=True):
        assert one["label"] == expected.class_name
        assert [one["x_min"], one["y_min"], one["x_max"], one["y_max"]] == [round(value) for value in expected.xyxy]
        assert all(isinstance(one[name], int) for name in ("x_min", "y_min", "x_max", "y_max"))
    confidences = [one["confidence"] for one in answer["predictions"]]
    assert confidences == sorted(confidences, reverse=True)
    body, headers = form(picture((0, 0)), min_confidence="1")
    assert server.post("/v1/vision/detection", body, headers).json["predictions"] == []


def test_deepstack_under_the_models_own_name(server: Serving) -> None:
    body, headers = form(picture((1, 1)))
    assert server.post("/v1/vision/custom/list", b"").json["models"] == [NAME]
    assert server.post(f"/v1/vision/custom/{NAME}", body, headers).json["count"] == 1
    answer = server.post("/v1/vision/custom/other", body, headers)
    assert (answer.status, answer.json["success"]) == (404, False) and NAME in answer.json["error"]


def test_newer_names() -> None:
    names = np.array(["motorbike", "aeroplane", "tvmonitor", "sofa", "diningtable", "pottedplant", "dog"])
    boxes = np.tile(np.array([1, 2, 3, 4], np.float32), (7, 1))
    ones = np.linspace(0.9, 0.3, 7, dtype=np.float32)
    found = Found(Detections(boxes, ones, np.arange(7), names, 10, 10, ones), 0, 0, 1)
    newer = ["motorcycle", "airplane", "tv", "couch", "dining table", "potted plant", "dog"]
    assert [one["class_name"] for one in own(found, "", newer_names=True)["detections"]] == newer
    assert [one["label"] for one in deepstack(found, "", 0, newer_names=True)["predictions"]] == newer
    assert [one["label"] for one in deepstack(found, "", 0, newer_names=False)["predictions"]] == list(names)


# What cannot be answered ---------------------------------------------------------------------------------------

BAD: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("/detect", b"", {}, 400, "no picture"),
    ("/detect", b"These are words, not a picture.", {"Content-Type": "text/plain"}, 400, "not an image"),
    ("/detect", b"/etc/passwd", {}, 400, "not an image"),
    ("/detect", b"http://127.0.0.1/dog.jpg", {}, 400, "not an image"),
    ("/detect", b'{"image": "/etc/passwd"}', {"Content-Type": "application/json"}, 415, "application/json"),
    ("/detect", png_header(50_000, 50_000), {}, 413, "--max-pixels"),
    ("/detect", b"\0" * (MOST_BYTES + 1), {}, 413, "--max-upload"),
    ("/detect", picture((1, 1))[:100], {}, 400, "damaged"),
    ("/detect", b"garbage", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "form"),
    ("/detect", b"garbage", {"Content-Type": "multipart/form-data"}, 400, "form"),
    ("/detect", form(thresh="0.5")[0], form()[1], 400, "no file in the form"),
    ("/detect", form(picture(), picture())[0], form()[1], 400, "2 files"),
    ("/detect", form(*[picture()] * 20)[0], form()[1], 400, "form"),
    ("/detect", form(picture(), image_url="http://127.0.0.1/")[0], form()[1], 400, "unknown field 'image_url'"),
    ("/detect?tresh=0.5", picture(), {}, 400, "unknown field 'tresh'"),
    ("/detect?thresh=nan", picture(), {}, 400, "thresh='nan'"),
    ("/detect?thresh=2", picture(), {}, 400, "from 0 to 1"),
    ("/detect?max_det=0", picture(), {}, 400, "max_det='0'"),
    ("/detect?agnostic=maybe", picture(), {}, 400, "agnostic='maybe'"),
    ("/detect?classes=unicorn", picture(), {}, 400, "unicorn"),
    ("/detect?classes=", picture(), {}, 400, "classes"),
    ("/detect?names=klingon", picture(), {}, 400, "klingon"),
    ("/v1/vision/detection", form(picture(), min_confidence="much")[0], form()[1], 400, "min_confidence='much'"),
    ("/v1/vision/detection", form(b"words")[0], form()[1], 400, "not an image"),
    ("/nowhere", picture(), {}, 404, "/detect"),
]


@pytest.mark.parametrize("case", BAD, ids=[f"{number}-{case[0]}" for number, case in enumerate(BAD)])
def test_bad_requests(case: tuple[str, bytes, dict[str, str], int, str], server: Serving) -> None:
    path, body, headers, status, words = case
    answer = server.post(path, body, headers)
    assert answer.status == status
    message = answer.json["error"]
    assert words in message and "\n" not in message and len(message) < 600
    assert path.startswith("/v1") == ("success" in answer.json)
    assert server.post("/detect", picture((1, 1))).status == 200


def test_a_body_without_end(server: Serving) -> None:
    chunk = b"8000\r\n" + b"\0" * 0x8000 + b"\r\n"
    head = b"POST /detect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert server.send(head + 3 * chunk).startswith("HTTP/1.1 413")


def test_methods(server: Serving) -> None:
    answer = server.ask("GET", "/detect")
    assert (answer.status, answer.json["error"]) == (405, 'GET is not for "/detect"')
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("head", [b"garbage\r\n\r\n", b"POST /detect HTTP/1.1\r\nContent-Length: -5\r\n\r\n"])
def test_no_http(head: bytes, server: Serving) -> None:
    assert server.send(head).startswith("HTTP/1.1 400")
    assert server.post("/detect", picture((1, 1))).status == 200


# Tokens, metrics, the page ---------------------------------------------------------------------------------------


def test_a_token(tmp_path: Path) -> None:
    with serving(tmp_path, token="open sesame") as server:
        shown = {"Authorization": "Bearer open sesame"}
        assert server.post("/detect", picture((1, 1)), shown).status == 200
        for headers in ({}, {"Authorization": "Bearer open"}, {"Authorization": "Basic open sesame"}):
            answer = server.post("/detect", picture((1, 1)), headers)
            assert (answer.status, list(answer.json)) == (401, ["error"])
        for key, status in (("open sesame", 200), ("", 401), ("no", 401)):
            body, headers = form(picture((1, 1)), api_key=key)
            assert server.post("/v1/vision/detection", body, headers).status == status
            assert server.post("/detect", body, headers).status == 401
        assert server.ask("GET", "/metrics").status == 401
        assert server.ask("GET", "/metrics", headers=shown).status == 200
        assert server.post("/v1/vision/custom/list", b"").status == 401
        assert server.ask("GET", "/healthz").status == 200


def test_a_token_of_any_letters_and_a_key_of_none(tmp_path: Path) -> None:
    with serving(tmp_path, token="Schlüssel") as server:
        shown = {"Authorization": "Bearer Schlüssel".encode().decode("latin-1")}
        assert server.post("/detect", picture((1, 1)), shown).status == 200
        body, headers = form(picture((1, 1)), api_key="+2AA-")  # half a character, in UTF-7
        headers["Content-Type"] += "; charset=utf-7"
        assert server.post("/v1/vision/detection", body, headers).status == 401


def test_bodies_of_strangers_are_few_at_a_time(tmp_path: Path) -> None:
    with serving(tmp_path, token="secret", patience=20.0) as server:
        head = b"POST /v1/vision/detection HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n"
        head += b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
        body, headers = form(picture((1, 1)), api_key="secret")
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
        for connection in slow:
            connection.sendall(head)
        deadline = time.monotonic() + 60
        while (answer := server.post("/v1/vision/detection", body, headers)).status != 503:
            assert time.monotonic() < deadline
        assert "received" in answer.json["error"]
        assert server.post("/detect", picture((1, 1)), {"Authorization": "Bearer secret"}).status == 200
        for connection in slow:
            connection.close()
        while server.post("/v1/vision/detection", body, headers).status != 200:
            assert time.monotonic() < deadline


def test_a_threshold_of_nothing_gives_an_answer_of_a_size(tmp_path: Path) -> None:
    with serving(tmp_path, most_boxes=3) as server:
        answer = server.post("/detect?thresh=0&nms=1", picture((1, 1)))
        assert [one["confidence"] >= 0.005 for one in answer.json["detections"]] == [True] * 3


def test_metrics(server: Serving) -> None:
    server.post("/detect", picture((1, 1)))
    answer = server.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    samples = dict(re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([0-9.]+)$", text, re.M))
    assert float(samples['darknet_requests_total{route="/detect",status="200"}']) >= 1
    assert samples['darknet_request_seconds_bucket{le="+Inf"}'] == samples["darknet_request_seconds_count"]
    assert float(samples["darknet_pictures_total"]) >= float(samples["darknet_runs_total"]) >= 1
    assert f'darknet_info{{model="{NAME}"' in text
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    assert all(any(name.startswith(kind) for kind in kinds) for name in samples)


def test_the_page(server: Serving) -> None:
    page = server.ask("GET", "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in re.findall(r'(?:src|href)="([\w.]+)"', page.body.decode()):
        assert server.ask("GET", f"/{name}").status == 200
    assert server.ask("GET", "/../settings.py").status == 404


def test_nothing_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a file")

    with serving(tmp_path) as server:
        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
        monkeypatch.setattr(tempfile, "_TemporaryFileWrapper", refuse)
        noise = np.random.default_rng(0).integers(0, 256, 3 << 20, np.uint8).tobytes()
        body, headers = form(picture((1, 1)) + noise)
        assert server.post("/v1/vision/detection", body, headers).json["count"] == 1


def test_a_client_that_leaves(server: Serving) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\nhalf")
    assert "darknet_waiting 0" in settled(server)
    assert json.loads(server.post("/detect", picture((1, 1))).body)["model"] == NAME
