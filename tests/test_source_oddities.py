"""Sources as the field has them: malformed addresses, long last frames, steady streams, UTF-16, the clock of AVI."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import Model, run
from stream_server import Visit, camera
from test_cli_video import records
from video_files import frame, write_video

from darknet_py.errors import ImageError, VideoError
from darknet_py.models.patience import Patience
from darknet_py.outputs import videos
from darknet_py.outputs.folders import clear_leftovers
from darknet_py.outputs.stems import Stems
from darknet_py.sources import addresses, lists
from darknet_py.sources import live as live_module
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Frame, Where, check_length, open_video
from darknet_py.sources.input_kinds import without_password
from darknet_py.sources.item import VideoInfo
from darknet_py.sources.live import LiveSource
from darknet_py.sources.looking import look
from darknet_py.sources.matroska import is_cut_off
from darknet_py.sources.opencv import OpencvVideo
from darknet_py.sources.pictures import PictureSource


@pytest.fixture
def model(tmp_path: Path) -> Model:
    folder = tmp_path / "model"
    folder.mkdir()
    return Model(folder)


def detect(model: Model, *arguments: object):
    return run("detect", "--cfg", model.cfg, "--weights", model.weights, *arguments)


def test_frames_that_are_not_wanted_are_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    class Steady:
        info = VideoInfo(endless=True)

        def __enter__(self) -> Steady:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def frames(self, _: Choice) -> Iterator[Frame]:
            for number in range(1, 32):
                yield Frame(number, 0.0, lambda _: np.zeros((96, 128, 3), np.uint8))
                time.sleep(0.02)

    monkeypatch.setattr(live_module, "open_video", lambda _: Steady())
    source = LiveSource(Where("rtsp://camera/", remote=True), Choice(every=30, timeout=0.3))
    *seen, last = source.items()
    assert [item.frame for item in seen] == [1, 31]
    with pytest.raises(VideoError, match="the stream ended after frame 31"):
        last.load("rgb")


def test_a_slow_file_as_if_it_were_live_does_not_stall(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", [0, 400, 800])
    source = LiveSource(Where("v", str(path)), Choice(latest=True, timeout=0.1))
    assert [item.frame for item in source.items()] == [1, 2, 3]


def test_a_resumed_camera_numbers_on(model: Model, tmp_path: Path) -> None:
    lines, drawn = tmp_path / "r.jsonl", tmp_path / "drawn"
    with camera([Visit(3000, 0.01)]) as running:
        options = (running.address, "--stop", 0.2, "--jsonl", lines, "--resume", "--out", drawn)
        assert detect(model, *options).exit_code == 0
        first = len(records(lines))
        assert detect(model, *options).exit_code == 0
    found = records(lines)
    numbers, indices = ([record[key] for record in found] for key in ("frame", "index"))
    assert len(found) > first > 0
    assert numbers == sorted(set(numbers)) and indices == sorted(set(indices))
    names = sorted(path.name for path in drawn.iterdir())
    assert names == [f"live-from-{numbers[first]}.mp4", "live.mp4"]


@pytest.mark.parametrize("name", ["http://[::1", "http://[foo]/x.jpg", "rtsp://[x", "https://u:secret@[::1/x.png"])
def test_a_malformed_address_is_one_error(name: str, model: Model, tmp_path: Path) -> None:
    good = model.picture("good.png", (1, 1))
    result = detect(model, name, good, "--jsonl", tmp_path / "r.jsonl", "--out", tmp_path / "drawn")
    first, second = records(tmp_path / "r.jsonl")
    assert result.exit_code == 1 and first["error"] and not second["error"] and result.stderr.count("Error: ") == 1
    assert "secret" not in result.output + result.stderr + str(first)
    assert without_password("http://a/b:c@d") == "http://a/b:c@d" and Stems().of(name) in ("stream", "x")


def test_a_video_that_cannot_be_encoded_does_not_stop_the_others(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    encoder = videos._encoder

    def refuse(path: Path, *rest: object) -> videos.Encoder:
        if path.name == "a.mp4":
            raise VideoError(f"{path}: cannot be encoded")
        return encoder(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(videos, "_encoder", refuse)
    inputs = [write_video(tmp_path / f"{name}.mp4", range(0, 40 * count, 40)) for name, count in (("a", 20), ("b", 3))]
    result = detect(model, *inputs, "--jsonl", tmp_path / "r.jsonl", "--out", tmp_path / "drawn")
    assert result.exit_code == 1 and result.stderr.count("cannot be encoded") == 1
    assert len(records(tmp_path / "r.jsonl")) == 23 and [one.name for one in (tmp_path / "drawn").iterdir()] == [
        "b.mp4"
    ]
    result = detect(model, inputs[0], "--out", tmp_path / "drawn")
    assert result.exit_code == 1 and result.stderr.count("cannot be encoded") == 1


def test_the_last_frame_is_shown_for_a_while(tmp_path: Path) -> None:
    slow = VideoInfo(rate=Fraction(1, 5), duration=25.0)
    check_length("v", slow, 5, 20.0)
    with pytest.raises(VideoError, match="breaks off after frame 4"):
        check_length("v", slow, 4, 15.0)
    check_length("v", VideoInfo(rate=Fraction(10), duration=9.0), 30, 3.0, shown=6.0)
    path = write_video(tmp_path / "v.mp4", [0, 5000, 10000])
    with open_video(Where("v", str(path))) as video:
        assert len(list(video.frames(Choice()))) == 3


@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4"])
def test_sound_may_be_longer_than_the_video(suffix: str, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs PyAV")
    path = tmp_path / f"v.{suffix}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx" if suffix == "webm" else "libx264", rate=25)
        stream.height, stream.width = frame(1).shape[:2]
        stream.pix_fmt = "yuv420p"
        sound = out.add_stream("libopus" if suffix == "webm" else "aac", rate=48000)
        for number in range(1, 11):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        out.mux(stream.encode())
        for start in range(0, 4 * 48000, 960):
            part = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), format="fltp", layout="stereo")
            part.sample_rate, part.pts, part.time_base = 48000, start, Fraction(1, 48000)
            out.mux(sound.encode(part))
        out.mux(sound.encode())
    with open_video(Where("v", str(path))) as video:
        assert len(list(video.frames(Choice()))) == 10 and not video.info.endless
    pytest.importorskip("cv2", reason="needs OpenCV")
    with OpencvVideo(Where("v", str(path))) as video:
        assert len(list(video.frames(Choice()))) == 10
    if suffix != "mp4":  # OpenCV opens no MP4 that is cut off
        assert is_cut_off(str(path)) is False
        path.write_bytes(path.read_bytes()[:-100])
        assert is_cut_off(str(path)) is True
        with OpencvVideo(Where("v", str(path))) as video, pytest.raises(VideoError, match="the file is cut off"):
            list(video.frames(Choice()))
        path.write_bytes(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7)
        assert is_cut_off(str(path)) is False  # as it is written to a pipe


def test_times_of_b_frames_in_avi_go_forward(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", range(20), Fraction(1, 25))
    for choice, numbers in (
        (Choice(), range(1, 21)),
        (Choice(stop=0.4), range(1, 11)),
        (Choice(start=0.4), range(11, 21)),
    ):
        with open_video(Where("v", str(path))) as video:
            found = [(one.number, one.time) for one in video.frames(choice)]
        assert found == [(number, pytest.approx((number - 1) / 25)) for number in numbers]


def test_a_name_on_standard_input_is_answered_before_the_next(tmp_path: Path) -> None:
    answered = threading.Event()

    def sources() -> Iterator[PictureSource]:
        for name in ("a", "b"):
            yield PictureSource(name, b"no picture")
            assert answered.is_set()
            answered.clear()

    seen = []
    for one in look(sources(), lambda pictures: [], read_ahead=False):
        seen.append(one.item.name)
        answered.set()
    assert seen == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_in_utf_16(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("./a.jpg\nb.jpg\n".encode(encoding))
    with pytest.raises(ImageError, match="UTF-16, expected UTF-8"):
        lists.lines_of(str(path))
    path.write_bytes(b"./a\0./b\nc\0d\0")
    assert [Path(name).name for name in lists.lines_of(str(path))] == ["a", "b\nc", "d"]


def test_the_first_bytes_of_an_address_have_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trickle:
        closed = False

        def read1(self, _: int) -> bytes:
            time.sleep(0.01)
            return b"x"

        def close(self) -> None:
            self.closed = True

    answer = Trickle()
    monkeypatch.setattr(
        addresses.urllib.request, "build_opener", lambda *_: SimpleNamespace(open=lambda *_, **__: answer)
    )
    with pytest.raises(ImageError, match="too slow"):
        addresses.open_address("http://127.0.0.1/x", Patience(timeout=0.05, attempts=1))
    assert answer.closed


def test_what_opencv_left_half_written_is_removed(tmp_path: Path) -> None:
    kept, left = tmp_path / ".street-ab12cd34.mp4", tmp_path / ".street-ab12cd34.tmp.mp4"
    for path in (kept, left):
        path.touch()
    clear_leftovers(tmp_path, "other.mp4")
    assert left.exists()
    clear_leftovers(tmp_path, "street.mp4")
    assert kept.exists() and not left.exists()
