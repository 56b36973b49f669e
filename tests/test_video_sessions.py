"""Networks that remember on videos: frames in their order, each video a stream of its own, in Python and by command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import run
from networks import TinyNetwork
from numpy.typing import NDArray

from darknet_py import Detections, Detector, OptionError

FRAMES = 11
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A detector whose boxes are those of the frames it saw."""
    tiny = TinyNetwork((3, 16, 32), seed=2)
    tiny.add("convolutional", {"filters": 6, "size": 3, "pad": 1, "stride": 2, "activation": "leaky"})
    tiny.add("crnn", {"hidden": 6, "output": 8, "size": 3, "pad": 1, "shortcut": 1, "activation": "leaky"})
    tiny.add("convolutional", {"filters": 14, "activation": "linear"})
    tiny.add("yolo", {"classes": 2, "num": 2, "anchors": "3,4,5,6"})
    return tiny.write(tmp_path_factory.mktemp("recurrent"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "noise.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    random = np.random.default_rng(0)
    for _ in range(FRAMES):
        writer.write(np.repeat(np.repeat(random.integers(0, 256, (8, 16, 3), np.uint8), 4, 0), 4, 1))
    writer.release()
    return path


def detector(files: tuple[Path, Path], **options: Any) -> Detector:
    return Detector(*files, ["one", "two"], threads=2, **options)


def assert_equal(found: Detections, expected: Detections) -> None:
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def test_frames_follow_each_other(files: tuple[Path, Path], video: Path) -> None:
    one = detector(files)
    for _ in range(2):  # each time from the beginning
        session, differ = one.network.session(), 0
        count = 0
        for pixels, _, found in one.detect_video(video):
            assert_equal(found, one.detect(pixels, session=session))
            differ += len(found) != len(one.detect(pixels)) or bool(np.any(found.xyxy != one.detect(pixels).xyxy))
            count += 1
        assert count == FRAMES and differ >= FRAMES - 2


def test_sessions_of_pictures(files: tuple[Path, Path]) -> None:
    one, other = detector(files), detector(files)
    picture = np.random.default_rng(1).integers(0, 256, (32, 64, 3), np.uint8)
    session = one.network.session()
    first, second = (one.detect(picture, session=session) for _ in range(2))
    assert_equal(first, one.detect(picture))
    assert len(first) != len(second) or np.any(first.confidence != second.confidence)
    with pytest.raises(OptionError, match=r"a session of .* for a run of"):
        other.detect(picture, session=session)
    with pytest.raises(OptionError, match="a session that follows 2 images, for a run of 1"):
        one.detect(picture, session=one.network.session(2))


def test_by_command(files: tuple[Path, Path], video: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.names").write_text("one\ntwo\n")
    lines = tmp_path / "out.jsonl"
    options = ("--cfg", files[0], "--weights", files[1], "--names", tmp_path / "classes.names", "--jsonl", lines)
    result = run("detect", video, video, *options)
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    counts = [len(found) for _, _, found in detector(files).detect_video(video)]
    assert [len(record["detections"]) for record in records] == counts * 2 and sum(counts)
