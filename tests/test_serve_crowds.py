"""A server and many: slow ones, late ones, more than there is room for, and each is given its own answer."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import scene
from PIL import Image
from serving import Serving, boxes, picture, serving, settled


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("served"), patience=20.0) as running:
        yield running


def test_a_slow_sender(tmp_path: Path) -> None:
    with serving(tmp_path, patience=0.3) as server:
        line = server.send(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nslow")
        assert line.startswith("HTTP/1.1 408")
        assert server.post("/detect", picture((1, 1))).status == 200


def test_one_too_many_is_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path, waiting=2) as server:
        go_on, begun = threading.Event(), threading.Event()
        detect = server.detector.detect_batch

        def wait(*arguments: Any, **options: Any) -> Any:
            begun.set()
            assert go_on.wait(60)
            return detect(*arguments, **options)

        monkeypatch.setattr(server.detector, "detect_batch", wait)
        with ThreadPoolExecutor(2) as pool:
            inside = [pool.submit(server.post, "/detect", picture((1, 1))) for _ in range(2)]
            assert begun.wait(60)
            deadline = time.monotonic() + 60
            while server.ask("GET", "/healthz").json["waiting"] < 2:
                assert time.monotonic() < deadline
            answer = server.post("/detect", picture((1, 1)))
            assert (answer.status, answer.headers["retry-after"]) == (503, "1") and "busy" in answer.json["error"]
            go_on.set()
            assert [one.result().status for one in inside] == [200, 200]
        assert server.ask("GET", "/healthz").json == {"status": "ok", "waiting": 0}


def test_who_waits_too_long_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path, patience=0.2) as server:
        go_on = threading.Event()
        detect = server.detector.detect_batch

        def wait(*arguments: Any, **options: Any) -> Any:
            go_on.wait(60)
            return detect(*arguments, **options)

        monkeypatch.setattr(server.detector, "detect_batch", wait)
        late = [server.post("/detect", picture((1, 1))) for _ in range(2)]
        go_on.set()
        assert [one.status for one in late] == [503, 503] and "0.2 s" in late[0].json["error"]
        assert "darknet_waiting 0" in settled(server)
        assert server.post("/detect", picture((1, 1))).status == 200


def test_a_crowd_gets_its_own_answers(server: Serving) -> None:
    cells = [(column, row) for column in range(4) for row in range(3)]
    expected = {cell: server.detector.detect(scene(cell)).xyxy.tolist() for cell in cells}

    def ask(number: int) -> bool:
        cell = cells[number % len(cells)]
        query = "?nms=.4" if number % 5 == 0 else ""
        if number % 7 == 0:
            return server.post("/detect", b"no picture").status == 400
        return boxes(server.post(f"/detect{query}", picture(cell))).tolist() == expected[cell]

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(ask, range(120)))


def test_a_detector_that_fails_is_500_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path) as server:
        with monkeypatch.context() as patched:
            patched.setattr(server.detector, "detect_batch", lambda *_, **__: 1 / 0)
            answer = server.post("/detect", picture((1, 1)))
        assert answer.status == 500 and "ZeroDivisionError" in answer.json["error"]
        assert server.post("/detect", picture((1, 1))).status == 200


def test_memory_for_one_but_not_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path) as server:
        detect = server.detector.detect_batch
        begun, go_on = threading.Event(), threading.Event()

        def limited(pictures: Any, **options: Any) -> Any:
            begun.set()
            assert go_on.wait(60)
            if len(pictures) > 1 or pictures[0].shape[0] == 50:
                raise MemoryError
            return detect(pictures, **options)

        monkeypatch.setattr(server.detector, "detect_batch", limited)
        stream = io.BytesIO()
        Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(stream, "PNG")
        with ThreadPoolExecutor(5) as pool:
            first = pool.submit(server.post, "/detect", picture((1, 1)))
            assert begun.wait(60)
            bodies = [picture((1, 1)), stream.getvalue(), picture((2, 2))]
            rest = [pool.submit(server.post, "/detect", body) for body in bodies]
            deadline = time.monotonic() + 60
            while server.ask("GET", "/healthz").json["waiting"] < 4:
                assert time.monotonic() < deadline
            go_on.set()
            assert [one.result().status for one in (first, *rest)] == [200, 200, 413, 200]
