"""Files of video: every frame with its own time, by PyAV and by OpenCV; what is broken ends with what was read."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video_files import frame, irregular, shown, turn, write_opencv, write_video

from darknet_py.errors import OptionError, UnsupportedError, VideoError
from darknet_py.sources import frames as frames_module
from darknet_py.sources.choice import Choice, as_seconds
from darknet_py.sources.frames import Frame, Where, open_video
from darknet_py.sources.item import Item
from darknet_py.sources.video import VideoSource


def by_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "has_pyav", lambda: False)


@pytest.fixture(params=["PyAV", "OpenCV"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "OpenCV":
        pytest.importorskip("cv2")
        by_opencv(monkeypatch)
    else:
        pytest.importorskip("av", reason="needs PyAV")
    return str(request.param)


def read(path: Path, **choice: object) -> list[Frame]:
    with open_video(Where(str(path), str(path))) as video:
        return list(video.frames(Choice(**choice)))  # type: ignore[arg-type]


def items(path: Path, **choice: object) -> list[Item]:
    return list(VideoSource(Where(str(path), str(path)), Choice(**choice)).items())  # type: ignore[arg-type]


VARIED: dict[str, Callable[[Path], Path]] = {
    "mp4": lambda folder: write_video(folder / "v.mp4", irregular(40)),
    "mkv": lambda folder: write_video(folder / "v.mkv", irregular(40)),
    "mov of 30000/1001": lambda folder: write_video(folder / "v.mov", range(0, 40 * 1001, 1001), Fraction(1, 30000)),
    "avi": lambda folder: write_video(folder / "v.avi", range(40), Fraction(1, 25), "mpeg4"),
    "webm": lambda folder: write_video(folder / "v.webm", irregular(20), codec="libvpx-vp9"),
}


@pytest.mark.parametrize("kind", VARIED)
def test_times_are_those_of_the_file(kind: str, reader: str, tmp_path: Path) -> None:
    path = VARIED[kind](tmp_path)
    expected = shown(path)
    found = read(path)
    assert [one.number for one in found] == list(range(1, len(expected) + 1))
    assert [one.time for one in found] == (expected if reader == "PyAV" else pytest.approx(expected, abs=1e-3))
    assert len({*expected}) == len(expected)


def test_a_stream_that_does_not_begin_at_zero_counts_from_its_start(reader: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.ts", range(30), Fraction(1, 30), options={"output_ts_offset": "1000"})
    assert shown(path)[0] >= 1000
    assert [one.time for one in read(path)] == pytest.approx([n / 30 for n in range(30)], abs=1e-5)


def test_pixels_are_the_frames(reader: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", irregular(12))
    for one in read(path):
        assert np.abs(one.load("rgb").astype(int) - frame(one.number)).mean() < 4
    assert np.array_equal(read(path)[4].load("bgr"), read(path)[4].load("rgb")[..., ::-1])
    grey = read(path)[4].load("grey")
    assert grey.shape == (96, 128, 1) and np.abs(grey[..., 0].astype(int) - frame(5)[..., 0]).mean() < 4


@pytest.mark.parametrize(("matrix", "quarters"), [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_telephones_are_turned_upright(matrix: tuple[int, ...], quarters: int, reader: str, tmp_path: Path) -> None:
    path = turn(write_video(tmp_path / "v.mp4", range(0, 400, 100)), matrix)  # type: ignore[arg-type]
    found = read(path)[1].load("rgb")
    expected = np.rot90(frame(2), quarters)
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 4


def test_frames_are_turned_without_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyav = pytest.importorskip("darknet_py.sources.pyav", exc_type=ImportError)
    path = turn(write_video(tmp_path / "v.mp4", [0, 100]), (0, 1, -1, 0))
    turned = read(path)[0].load("rgb")
    monkeypatch.setattr(pyav, "find_cv2", lambda: None)
    assert np.array_equal(read(path)[0].load("rgb"), turned)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("start", [0.0, 0.31, 1.0, 1.5, 99.0])
def test_frames_between_two_times_keep_their_numbers(start: float, suffix: str, reader: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"v.{suffix}", irregular(60), keyframes=9)
    everything = [(n, time) for n, time in enumerate(shown(path), 1)]
    found = [(one.number, one.time) for one in read(path, start=start, stop=start + 0.5, every=3)]
    expected = [(n, time) for n, time in everything if start <= time < start + 0.5 and (n - 1) % 3 == 0]
    assert [n for n, _ in found] == [n for n, _ in expected]
    assert [time for _, time in found] == pytest.approx([time for _, time in expected], abs=1e-3)
    assert bool(found) == (start < 2)


def test_opencv_reads_what_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_opencv(tmp_path / "v.avi", 12)
    by_opencv(monkeypatch)
    found = read(path)
    assert [one.time for one in found] == pytest.approx([n / 10 for n in range(12)])
    assert all(np.abs(one.load("rgb").astype(int) - frame(one.number)).mean() < 4 for one in found)
    assert open_video(Where("v", str(path))).info.total == 12


def test_what_is_cut_off_keeps_what_was_read(reader: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", range(0, 6000, 40), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = items(path)
    assert 60 < len(found) < 130 and [one.frame for one in found] == list(range(1, len(found) + 1))
    with pytest.raises(VideoError, match=r"v\.mkv: breaks off after frame \d+ \(\d\.\d+ s\)"):
        found[-1].load("rgb")
    assert found[-2].load("rgb").shape == (96, 128, 3)


def test_damage_in_the_middle_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", range(0, 3000, 50), codec="libvpx-vp9", keyframes=1, spoilt=[20, 21])
    found = items(path)
    assert len(found) == 59 and [one.frame for one in found] == [*range(1, 20), *range(22, 61), 61]
    with pytest.raises(VideoError, match=r"v\.mkv: 2 of its 60 frames could not be decoded"):
        found[-1].load("rgb")


@pytest.mark.parametrize("content", [b"", b"no video" * 99, b"\0\0\0\x18ftypmp42" + bytes(999)])
def test_what_is_no_video(content: bytes, reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    (only,) = items(path)
    with pytest.raises(VideoError, match="cannot be opened"):
        only.load("rgb")
    assert only.frame is None and capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_directory(reader: str, tmp_path: Path) -> None:
    for path, cause in ((tmp_path / "none.mp4", "[Nn]o such file"), (tmp_path, "cannot be opened")):
        with pytest.raises(VideoError, match=cause):
            items(path)[0].load("rgb")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs PyAV")
    path = tmp_path / "v.mka"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.rate, sound.pts = 8000, 0
        out.mux(stream.encode(sound))
    with pytest.raises(VideoError, match="no video in it"):
        open_video(Where("v", str(path)))


def test_frames_of_too_many_pixels(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.mp4", [0, 40])
    monkeypatch.setenv("DARKNET_PY_MAX_PIXELS", "12287")
    with pytest.raises(VideoError, match=r"128x96 are more than 12,287 pixels; DARKNET_PY_MAX_PIXELS"):
        open_video(Where("v", str(path)))


def test_a_playlist_leads_nowhere(reader: str, tmp_path: Path) -> None:
    """A file from a stranger makes no connection."""
    path = tmp_path / "v.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError):
        items(path)[0].load("rgb")


def test_without_pyav_and_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    by_opencv(monkeypatch)
    monkeypatch.setattr(frames_module, "find_cv2", lambda: None)
    with pytest.raises(UnsupportedError, match=r"pip install av\) or OpenCV \(pip install opencv-python"):
        open_video(Where("v.mp4", "v.mp4"))


@pytest.mark.parametrize(
    ("value", "seconds"), [(90, 90), ("90", 90), ("2.5", 2.5), ("1:30", 90), ("1:00:01.25", 3601.25), (0, 0)]
)
def test_times(value: float | str, seconds: float) -> None:
    assert as_seconds("start", value) == seconds


@pytest.mark.parametrize("value", [-1, "x", "1:2:3:4", float("nan"), float("inf"), True, "", "١"])
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(OptionError, match="expected seconds"):
        as_seconds("start", value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"every": 1.5}, {"start": 2, "stop": 2}, {"stop": 0}, {"timeout": 0}, {"timeout": True}]
)
def test_choices_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Choice(**wrong)  # type: ignore[arg-type]
