"""Cameras and streams: the newest frame, what was dropped counted; those that stall, drop and return."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stream_server import Visit, camera
from video_files import frame, write_video

from darknet_py.errors import DarknetError, VideoError
from darknet_py.sources import frames as frames_module
from darknet_py.sources import live as live_module
from darknet_py.sources import opencv as opencv_module
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Frame, Where
from darknet_py.sources.item import Item, VideoInfo
from darknet_py.sources.live import LiveSource, Mailbox
from darknet_py.sources.opening import Asked, open_sources

PACE = 0.01

#: For what takes seconds, and differs in the way to the reader alone; that a stream ends is tested by both.
SLOW_BY_RTSP = pytest.mark.parametrize("stream", ["MJPEG", pytest.param("RTSP", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture(params=["PyAV", "OpenCV"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(live_module, "_FIRST_PAUSE", 0.02)
    if request.param == "OpenCV":
        pytest.importorskip("cv2")
        monkeypatch.setattr(frames_module, "has_pyav", lambda: False)
    else:
        pytest.importorskip("av", reason="needs PyAV")
    return str(request.param)


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ts") / "v.ts"
    return write_video(path, range(60), Fraction(1, 25), keyframes=10).read_bytes()


@pytest.fixture(params=["MJPEG", "RTSP"])
def stream(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A camera by what its connections get, in frames of MJPEG; RTSP sends all it has faster."""

    def begin(*visits: Visit) -> Any:
        if request.param == "MJPEG":
            return camera(visits)
        data = request.getfixturevalue("transport_stream")
        return camera([replace(visit, frames=100) for visit in visits], data)

    return begin


def open_live(address: str, told: list[str] | None = None, **choice: Any) -> LiveSource:
    chosen = Choice(**{"timeout": 5.0, **choice})
    tell = (told if told is not None else []).append
    return LiveSource(Where(address, address, remote=True, timeout=chosen.timeout), chosen, tell)


def watch(source: LiveSource, most: int = 10_000) -> tuple[list[Item], DarknetError | None]:
    """The items whose frames can be loaded, and the error at the end."""
    seen: list[Item] = []
    items = source.items()
    for item in items:
        try:
            assert item.load("rgb").shape == (96, 128, 3)
        except DarknetError as error:
            assert next(items, None) is None
            return seen, error
        seen.append(item)
        if len(seen) >= most:
            break
    items.close()
    return seen, None


def in_order(seen: list[Item]) -> bool:
    numbers = [item.frame or 0 for item in seen]
    times = [item.time or 0.0 for item in seen]
    return numbers == sorted({*numbers}) and times == sorted(times)


def test_a_stream_that_ends(stream: Callable[..., Any], reader: str) -> None:
    with stream(Visit(30, PACE)) as running:
        seen, error = watch(open_live(running.address))
    assert len(seen) > 3 and in_order(seen)
    assert isinstance(error, VideoError) and str(error).startswith(f"{running.address}: the stream ")


@SLOW_BY_RTSP
def test_a_stream_that_stalls(stream: Callable[..., Any], reader: str, capfd: pytest.CaptureFixture[str]) -> None:
    with stream(Visit(30, PACE, stalls=True)) as running:
        seen, error = watch(open_live(running.address, timeout=1.0))
    assert len(seen) > 3 and in_order(seen)
    assert "no frame for 1 s after frame" in str(error) or "nothing came in time" in str(error)
    assert capfd.readouterr() == ("", "")


@SLOW_BY_RTSP
def test_a_stream_that_drops_stalls_and_returns(stream: Callable[..., Any], reader: str) -> None:
    told: list[str] = []
    visits = [Visit(30, PACE), Visit(refused=True), Visit(30, PACE, stalls=True), Visit(3000, PACE)]
    with stream(*visits) as running:
        source = open_live(running.address, told, reconnect=True, timeout=1.0)
        seen: list[Item] = []
        for item in source.items():
            item.load("rgb")
            seen.append(item)
            if running.connections >= 4 and len(seen) > 20:
                break
    assert in_order(seen)
    assert len(told) >= 3 and all(line.endswith(" s") and "; trying again in " in line for line in told)


def test_a_camera_that_is_not_there_yet(reader: str) -> None:
    told: list[str] = []
    with camera([Visit(refused=True), Visit(refused=True), Visit(3000, PACE)]) as running:
        seen, error = watch(open_live(running.address, told, reconnect=True), most=5)
        assert error is None and len(seen) == 5 and len(told) == 2
        _, error = watch(open_live("http://127.0.0.1:9/x.mjpg"))
    assert "127.0.0.1:9/x.mjpg: cannot be opened as a video" in str(error)


def test_slow_work_gets_the_newest_frame(reader: str) -> None:
    with camera([Visit(3000, PACE)]) as running:
        source = open_live(running.address)
        items, found = source.items(), []
        for item in items:
            found.append(item)
            wait_until(lambda at=item.frame: source._count >= (at or 0) + 10)
            if len(found) == 4:
                break
        items.close()
    steps = np.diff([item.frame or 0 for item in found])
    assert (steps >= 8).all() and source.dropped >= steps.sum() - len(steps)


def test_all_frames_on_request(reader: str) -> None:
    with camera([Visit(60, 0.002)]) as running:
        source = open_live(running.address, latest=False)
        seen, error = watch(source)
    assert error is not None and source.dropped == 0
    assert seen[0].time == 0
    assert [item.frame for item in seen] == list(range(1, len(seen) + 1)) and len(seen) >= 55


def test_a_time_to_stop_and_every_third_frame(reader: str) -> None:
    with camera([Visit(3000, PACE)]) as running:
        seen, error = watch(open_live(running.address, latest=False, every=3, start=0.1, stop=0.5))
    assert error is None and seen
    assert all((item.frame or 0) % 3 == 1 and 0.1 <= (item.time or 0) < 0.5 for item in seen)


def test_an_address_without_an_ending_is_found_out(reader: str) -> None:
    with camera([Visit(3000, PACE)]) as running:
        address = running.address.removesuffix(".mjpg")
        (source,) = open_sources([address], Asked())
        assert source.kind == "live"
        items = source.items()
        assert next(items).load("rgb").shape == (96, 128, 3)
        items.close()


def test_a_file_as_if_it_were_live(reader: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", range(0, 500, 20))
    source = LiveSource(Where("v", str(path)), Choice(latest=True))
    begun = time.monotonic()
    seen, error = watch(source)
    assert error is None and 0.47 <= time.monotonic() - begun < 5
    assert in_order(seen) and len(seen) + source.dropped == 25
    assert all(item.time == pytest.approx(0.02 * ((item.frame or 0) - 1), abs=1e-3) for item in seen)


class Webcam:
    """cv2.VideoCapture for a camera that gives some frames and vanishes, or raises."""

    def __init__(self, count: int, breaks: bool = False) -> None:
        self.left, self.breaks, self.released = count, breaks, False

    def isOpened(self) -> bool:
        return self.left > 0

    def get(self, _: int) -> float:
        return 0.0

    def grab(self) -> bool:
        self.left -= 1
        if self.left < 0 and self.breaks:
            raise RuntimeError("driver")
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, frame(1)

    def release(self) -> None:
        self.released = True


@pytest.mark.parametrize(("breaks", "said"), [(False, "the stream ended after frame"), (True, "RuntimeError: driver")])
def test_a_camera_that_vanishes(breaks: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    webcam = Webcam(5, breaks)
    monkeypatch.setattr(opencv_module, "_open", lambda *_: webcam)
    (source,) = open_sources(["0"], Asked(Choice(latest=False)))
    assert isinstance(source, LiveSource)
    seen, error = watch(source)
    assert len(seen) == 5 and said in str(error) and webcam.released


def test_no_camera(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2")
    (source,) = open_sources(["77"], Asked())
    assert isinstance(source, LiveSource)
    _, error = watch(source)
    assert str(error) == "77: cannot be opened as a video: no such camera, or it is in use"
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    class Hanging:
        info = VideoInfo(endless=True)

        def __enter__(self) -> Hanging:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def frames(self, _: Choice) -> Iterator[Frame]:
            yield Frame(1, 0.0, lambda _: np.zeros((96, 128, 3), np.uint8))
            over.wait(30)

    monkeypatch.setattr(live_module, "open_video", lambda _: Hanging())
    seen, error = watch(open_live("rtsp://camera/", timeout=0.1))
    assert len(seen) == 1 and "no frame for 0.1 s after frame 1" in str(error)
    over.set()


def test_a_mailbox_has_one_place() -> None:
    box = Mailbox(latest=True)
    for number in range(1, 6):
        assert box.put(Frame(number, 0.0, lambda _: frame(1)))
    taken = box.take(1)
    assert taken is not None and taken.number == 5 and box.dropped == 4
    with pytest.raises(TimeoutError):
        box.take(0.01)
    box.end(None)
    assert box.take(1) is None
    box.close()
    assert not box.put(Frame(6, 0.0, lambda _: frame(1)))


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)
