"""`Detector.detect_video`: frames, times and detections as they come, in stages that overlap."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import Model
from video_files import cell, frame, irregular, shown, write_opencv, write_video

from darknet_py import Detector, OptionError, VideoError
from darknet_py.sources.item import Item, VideoInfo
from darknet_py.sources.looking import look
from darknet_py.sources.stages import ahead, in_order


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    model = Model(tmp_path_factory.mktemp("model"))
    return Detector(model.cfg, model.weights, threads=2)


def test_frames_times_and_detections(detector: Detector, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", irregular(30))
    times = []
    for number, (pixels, at, found) in enumerate(detector.detect_video(path), 1):
        assert np.abs(pixels.astype(int) - frame(number)).mean() < 4
        assert found.class_names == ["dog"]
        assert np.abs(found.xyxy[0][:2] - np.array(cell(number)) * 32).max() < 2
        times.append(at)
        again = detector.detect(pixels)
        assert np.array_equal(again.xyxy, found.xyxy) and np.array_equal(again.confidence, found.confidence)
    assert times == shown(path)


def test_colours_are_in_the_order_asked_for(detector: Detector, tmp_path: Path) -> None:
    path = write_opencv(tmp_path / "v.avi", 2)
    (bgr, _), (rgb, _) = (list(detector.detect_video(path, bgr=bgr)) for bgr in (True, False))
    assert np.array_equal(bgr.pixels, rgb.pixels[..., ::-1]) and bgr.number == 1 and bgr.dropped == 0


def test_choices(detector: Detector, tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "v.mp4", range(0, 2000, 40)))
    seen = list(detector.detect_video(path, every=5, start="0:01", stop=1.5, thresh=0.9, classes="dog"))
    assert [one.number for one in seen] == [26, 31, 36] and all(len(one.found) == 1 for one in seen)
    assert all(not len(one.found) for one in detector.detect_video(path, every=10, classes=["cat"]))
    for wrong in ({"every": 0}, {"start": "x"}, {"classes": "horse"}, {"timeout": -1}):
        with pytest.raises(OptionError):
            detector.detect_video(path, **wrong)
    with pytest.raises(OptionError, match="expected a path, an address or a camera's number"):
        next(detector.detect_video(b"x"))  # type: ignore[arg-type]


def test_what_breaks_off_raises_after_its_frames(detector: Detector, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", range(0, 6000, 40), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = detector.detect_video(path)
    seen = []
    with pytest.raises(VideoError, match="breaks off after frame"):
        seen.extend(one.number for one in frames)
    with pytest.raises(VideoError, match=r"none\.mp4"):
        next(detector.detect_video(tmp_path / "none.mp4"))


def test_leaving_early_ends_the_threads(detector: Detector, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", range(0, 8000, 40))
    before = threading.active_count()
    for _ in detector.detect_video(path):
        break
    limit = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < limit
        time.sleep(0.01)


class Made:
    """A source of frames whose pixels say their number."""

    name, kind, dropped = "made", "video", 0
    info = VideoInfo(pixels=16)

    def __init__(self, count: int, wrong: int = 0) -> None:
        self.count, self.wrong = count, wrong

    def items(self) -> Iterator[Item]:
        for number in range(1, self.count + 1):
            if number == self.wrong:
                yield Item.failed(self.name, VideoError("made: wrong"), number)
            else:
                yield Item(self.name, lambda _, n=number: np.full((4, 4, 3), n, np.uint8), number, number / 10)


def values(pictures: list[np.ndarray]) -> list[int]:
    return [int(one[0, 0, 0]) for one in pictures]


def test_frames_keep_their_order_whatever_finishes_first() -> None:
    together = threading.Barrier(2)

    def detect(pictures: list[np.ndarray]) -> list[int]:
        if values(pictures)[0] in (1, 5):
            together.wait(20)  # two batches are looked at side by side
            time.sleep(0.05 if values(pictures)[0] == 1 else 0)
        return values(pictures)

    seen = list(look([Made(23, wrong=7)], detect, threads=2))  # type: ignore[arg-type,list-item]
    assert [one.item.frame for one in seen] == [one.index for one in seen] == list(range(1, 24))
    assert [one.found for one in seen if one.error is None] == [n for n in range(1, 24) if n != 7]
    assert str(seen[6].error) == "made: wrong" and set(seen[0].timings) == {"read", "detect"}


def test_what_is_done_is_not_loaded() -> None:
    seen = list(look([Made(9)], values, threads=2, done=lambda _, number: number < 6))  # type: ignore[arg-type,list-item]
    assert [one.index for one in seen] == [6, 7, 8, 9]


def test_memory_that_is_missing_is_one_error() -> None:
    def detect(pictures: list[np.ndarray]) -> list[int]:
        if 3 in values(pictures):
            raise MemoryError
        return values(pictures)

    seen = list(look([Made(6)], detect, threads=1))  # type: ignore[arg-type,list-item]
    assert all("not enough memory" in str(one.error) for one in seen[:4]) and seen[5].found == 6


def test_reading_ahead_is_bounded_and_passes_errors_on() -> None:
    asked = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            if number == 20:
                raise VideoError("twenty")
            yield number

    items = ahead(numbers(), 3)  # type: ignore[arg-type]
    assert next(items) == 0
    time.sleep(0.05)
    assert len(asked) <= 6
    with pytest.raises(VideoError, match="twenty"):
        list(items)


def test_work_in_order_is_bounded() -> None:
    under_way = []
    results = in_order(range(20), lambda n: under_way.append(n) or n, workers=3, most=4)  # type: ignore[func-returns-value]
    assert next(results).result() == 0 and len(under_way) <= 4
    assert [one.result() for one in results] == list(range(1, 20))
