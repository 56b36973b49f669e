"""Videos with boxes: the frames, sizes and times of the source, playable whenever the work ends, by PyAV and OpenCV."""

from __future__ import annotations

import errno
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video_files import frame, irregular, shown

from darknet_py.boxes.detections import Detections
from darknet_py.errors import OutputError
from darknet_py.files import WholeFile
from darknet_py.outputs import Record
from darknet_py.outputs import videos as videos_module
from darknet_py.outputs.videos import AnnotatedVideos
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Where, open_video
from darknet_py.sources.item import VideoInfo

av = pytest.importorskip("av", reason="needs PyAV")

VARIABLE = VideoInfo(rate=Fraction(25), time_base=Fraction(1, 1000))


@pytest.fixture(params=["PyAV", "OpenCV"])
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "OpenCV":
        pytest.importorskip("cv2")
        monkeypatch.setattr(videos_module, "has_pyav", lambda: False)
    return str(request.param)


def records(times: list[float], pixels: list[np.ndarray] | None = None) -> list[Record]:
    pictures = pixels or [frame(number) for number in range(1, len(times) + 1)]
    return [
        Record("v.mp4", number, Detections.empty(one.shape[1], one.shape[0]), frame=number, time=time, pixels=one)
        for number, (time, one) in enumerate(zip(times, pictures, strict=True), 1)
    ]


def write(path: Path, what: list[Record], info: VideoInfo = VARIABLE, start: float = 0.0) -> None:
    with AnnotatedVideos() as videos:
        videos.begin(path, info, start)
        for record in what:
            videos.write(record)


def read(path: Path) -> list[np.ndarray]:
    with open_video(Where(str(path), str(path))) as video:
        return [one.load("rgb") for one in video.frames(Choice())]


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    times = [time / 1000 for time in irregular(50)]
    write(tmp_path / "v.mp4", records(times))
    assert shown(tmp_path / "v.mp4") == times
    for number, pixels in enumerate(read(tmp_path / "v.mp4"), 1):
        assert np.abs(pixels.astype(int) - frame(number)).mean() < 4
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.frames == 50 and (stream.width, stream.height) == (128, 96)
        assert float(stream.duration * stream.time_base) == pytest.approx(times[-1] + 0.04, abs=0.002)


def test_a_constant_rate_is_kept(writer: str, tmp_path: Path) -> None:
    info = VideoInfo(rate=Fraction(30000, 1001), time_base=Fraction(1, 30000))
    times = [n * 1001 / 30000 for n in range(20)]
    write(tmp_path / "v.mp4", records(times), info)
    assert shown(tmp_path / "v.mp4") == pytest.approx(times, abs=1e-4)
    with av.open(str(tmp_path / "v.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97, abs=0.01)


def test_opencv_repeats_frames_until_the_next_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.setattr(videos_module, "has_pyav", lambda: False)
    write(tmp_path / "v.mp4", records([0.0, 0.3, 0.4]), VideoInfo(rate=Fraction(10)))
    found = read(tmp_path / "v.mp4")
    assert len(found) == 5
    for pixels, number in zip(found, (1, 1, 1, 2, 3), strict=True):
        assert np.abs(pixels.astype(int) - frame(number)).mean() < 6


@pytest.mark.parametrize("height", [96, 720, 721])
def test_colours_and_odd_sizes_are_true(height: int, writer: str, tmp_path: Path) -> None:
    if writer == "OpenCV" and height % 2:
        pytest.skip("MPEG-4 rounds sides up")
    pixels = np.zeros((height, 131 if writer == "PyAV" else 128, 3), np.uint8)
    pixels[:, :40], pixels[:, 40:80], pixels[:, 80:] = (255, 0, 0), (0, 255, 0), (10, 60, 250)
    write(tmp_path / "v.mp4", records([0.0, 0.04], [pixels] * 2))
    (found, _) = read(tmp_path / "v.mp4")
    assert found.shape == pixels.shape
    for column in (20, 60, 110):
        assert np.abs(found[50, column].astype(int) - pixels[50, column]).max() < 12


def test_grey_frames_and_other_sizes_in_the_middle(writer: str, tmp_path: Path) -> None:
    grey = np.full((96, 128, 1), 90, np.uint8)
    write(tmp_path / "v.mp4", records([0.0, 0.04, 0.08], [grey, grey, np.full((50, 60, 3), 90, np.uint8)]))
    found = read(tmp_path / "v.mp4")
    assert [one.shape for one in found] == [(96, 128, 3)] * 3
    assert all(abs(int(one.mean()) - 90) < 4 for one in found)


def test_what_begins_later_is_shown_from_the_start(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", records([5.02, 5.06]), start=5.0)
    assert shown(tmp_path / "v.mp4") == pytest.approx([0.02, 0.06])


def test_each_source_has_its_own_and_pictures_none(tmp_path: Path) -> None:
    picture = Record("a.jpg", 1, Detections.empty(128, 96), pixels=frame(1))
    with AnnotatedVideos() as videos:
        videos.write(picture)
        for name in ("a", "b"):
            videos.begin(tmp_path / f"{name}.mp4", VARIABLE)
            for record in records([0.0, 0.04]):
                videos.write(record)
        videos.begin(tmp_path / "empty.mp4", VARIABLE)
    assert [path.name for path in videos.written] == ["a.mp4", "b.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_a_stop_leaves_what_was_done(writer: str, tmp_path: Path) -> None:
    def stop() -> None:
        with AnnotatedVideos() as videos:
            videos.begin(tmp_path / "v.mp4", VARIABLE)
            for record in records([n / 25 for n in range(30)]):
                videos.write(record)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert len(read(tmp_path / "v.mp4")) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_a_full_disk_leaves_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = [800_000]
    write_all = WholeFile.write

    def write_some(self: WholeFile, data: bytes) -> None:
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(self, data)

    monkeypatch.setattr(WholeFile, "write", write_some)
    noise = np.random.default_rng(0)
    pixels = [noise.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(200)]
    with pytest.raises(OutputError, match=r"v\.mp4: cannot be written \(No space left"):
        write(tmp_path / "v.mp4", records([n / 25 for n in range(200)], pixels))
    assert 0 < len(shown(tmp_path / "v.mp4")) < 200
