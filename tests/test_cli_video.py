"""``darknet-py detect`` on videos and streams, as a user has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import Model, error_lines, run
from stream_server import Visit, camera
from video_files import cell, irregular, shown, write_opencv, write_video

from darknet_py.sources import frames as frames_module
from darknet_py.sources.choice import Choice
from darknet_py.sources.frames import Where, open_video


@pytest.fixture
def model(tmp_path: Path) -> Model:
    folder = tmp_path / "model"
    folder.mkdir()
    return Model(folder)


def detect(model: Model, *arguments: object) -> object:
    return run("detect", "--cfg", model.cfg, "--weights", model.weights, *arguments)


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def boxes_are_right(found: list[dict]) -> bool:
    """Whether each frame's one dog is in its bright cell."""
    for record in found:
        (box,) = record["detections"]
        column, row = cell(record["frame"])
        if np.abs(np.array([box["left"], box["top"]]) - [32 * column, 32 * row]).max() > 2:
            return False
    return True


def test_every_frame_is_a_record_with_its_time(model: Model, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", irregular(50))
    lines = tmp_path / "r.jsonl"
    result = detect(model, video, "--jsonl", lines, "--out", tmp_path / "drawn")
    assert result.exit_code == 0, result.output
    found = records(lines)
    assert [record["time"] for record in found] == shown(video)
    assert [record["frame"] for record in found] == [record["index"] for record in found] == list(range(1, 51))
    assert boxes_are_right(found)
    assert shown(tmp_path / "drawn" / "v.mp4") == shown(video)
    assert f"{video} frame 50, {shown(video)[-1]:.3f} s: 1 dog" in result.stdout
    assert f"{video}: 50 frames in " in result.stderr and "50 frames: 50 dog;" in result.stdout


def test_by_opencv_alone(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "has_pyav", lambda: False)
    monkeypatch.setattr("darknet_py.outputs.videos.has_pyav", lambda: False)
    video = write_opencv(tmp_path / "v.avi", 12)
    result = detect(model, video, "--jsonl", tmp_path / "r.jsonl", "--out", tmp_path / "drawn")
    assert result.exit_code == 0, result.output
    found = records(tmp_path / "r.jsonl")
    assert len(found) == 12 and boxes_are_right(found)
    with open_video(Where("v", str(tmp_path / "drawn" / "v.mp4"))) as drawn:
        assert len(list(drawn.frames(Choice()))) == 12


def test_some_of_the_frames(model: Model, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", range(0, 4000, 40))
    options = ("--every", 10, "--start", "0:01", "--stop", 3)
    result = detect(model, video, *options, "--jsonl", tmp_path / "r.jsonl", "--out", tmp_path / "drawn")
    assert result.exit_code == 0, result.output
    found = records(tmp_path / "r.jsonl")
    assert [record["frame"] for record in found] == [31, 41, 51, 61, 71] and boxes_are_right(found)
    assert [record["index"] for record in found] == [1, 2, 3, 4, 5]
    assert found[0]["settings"]["every"] == 10 and found[0]["settings"]["start"] == 1.0
    assert shown(tmp_path / "drawn" / "v.mp4") == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8])


def test_pictures_and_videos_together(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    model.picture("a.png", (1, 1)).rename(folder / "a.png")
    write_video(folder / "b.mp4", [0, 40, 80])
    model.picture("c.png", (1, 1)).rename(folder / "deep" / "c.png")
    lines = tmp_path / "r.jsonl"
    result = detect(model, "-r", folder, "--jsonl", lines, "--out", folder / "drawn", "--json", tmp_path / "f.json")
    assert result.exit_code == 0, result.output
    assert [record["frame"] for record in records(lines)] == [None, 1, 2, 3, None]
    assert [one["frame_id"] for one in json.loads((tmp_path / "f.json").read_text())] == [1, 2, 3, 4, 5]
    assert sorted(os.listdir(folder / "drawn")) == ["a.png", "b.mp4", "c.png"]
    again = detect(model, "-r", folder, "--jsonl", lines, "--out", folder / "drawn")
    assert again.exit_code == 0 and len(records(lines)) == 5


def test_a_video_is_not_drawn_over_itself(model: Model, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", [0, 40])
    before = video.read_bytes()
    assert detect(model, video, "--out", tmp_path).exit_code == 0
    assert video.read_bytes() == before and shown(tmp_path / "v-2.mp4") == [0.0, 0.04]


def test_what_breaks_off_is_kept(model: Model, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", range(0, 6000, 40), codec="mpeg4")
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    whole = write_video(tmp_path / "w.mp4", [0, 40])
    lines = tmp_path / "r.jsonl"
    result = detect(model, video, whole, tmp_path / "none.mp4", "--jsonl", lines, "--out", tmp_path / "drawn")
    found = records(lines)
    failed = [record for record in found if record["error"]]
    assert result.exit_code == 1 and len(error_lines(result)) == len(failed) == 2
    assert failed[0]["error"]["kind"] == "VideoError" and failed[0]["frame"] == len(found) - 3
    assert "none.mp4: cannot be opened as a video: no such file" in result.stderr
    assert len(shown(tmp_path / "drawn" / "v.mp4")) == len(found) - 4


def test_a_stream_that_drops_stalls_and_returns(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    lines = tmp_path / "r.jsonl"
    visits = [Visit(20, 0.02), Visit(20, 0.02, stalls=True), Visit(3000, 0.02)]
    with camera(visits) as running:
        options = ("--reconnect", "--timeout", 0.5, "--stop", 4, "--jsonl", lines, "--out", tmp_path / "drawn")
        result = detect(model, running.address, *options)
        assert running.connections == 3
    assert result.exit_code == 0, result.output
    assert result.stderr.count("trying again in") == 2 and "dropped" in result.stderr
    found = records(lines)
    times = [record["time"] for record in found]
    assert times == sorted(times) and all(record["error"] is None for record in found)
    assert shown(tmp_path / "drawn" / "live.mp4") == pytest.approx(times, abs=1e-3)


def test_a_stream_that_ends_keeps_what_was_done(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV")
    with camera([Visit(20, 0.02)]) as running:
        result = detect(model, running.address, "--jsonl", tmp_path / "r.jsonl", "--out", tmp_path / "drawn")
    found = records(tmp_path / "r.jsonl")
    assert result.exit_code == 1 and found[-1]["error"]["kind"] == "VideoError" and len(found) > 4
    assert len(shown(tmp_path / "drawn" / "live.mp4")) == len(found) - 1


def test_resumed_frames_are_not_done_again(model: Model, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", range(0, 1200, 40))
    lines = tmp_path / "r.jsonl"
    assert detect(model, video, "--jsonl", lines).exit_code == 0
    everything = lines.read_text().splitlines()
    lines.write_text("\n".join(everything[:12]) + "\n" + everything[12][:40])
    result = detect(model, video, "--jsonl", lines, "--resume", "--out", tmp_path / "drawn")
    assert result.exit_code == 0, result.output
    kept = [{**json.loads(line), "timings": 0} for line in everything]
    assert [{**record, "timings": 0} for record in records(lines)] == kept
    assert os.listdir(tmp_path / "drawn") == ["v-from-13.mp4"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_in_the_middle_leaves_a_playable_video(name: str, model: Model, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", range(0, 100_000, 40), keyframes=50)
    lines, drawn = tmp_path / "r.jsonl", tmp_path / "drawn"
    command = [sys.executable, "-m", "darknet_py", "detect", "--cfg", model.cfg, "--weights", model.weights, video]
    command += ["--jsonl", lines, "--out", drawn]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as running:
        limit = time.monotonic() + 60
        while not lines.exists() or lines.read_text().count("\n") < 60:
            assert running.poll() is None and time.monotonic() < limit
            time.sleep(0.02)
        running.send_signal(getattr(signal, name))
        _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + getattr(signal, name)
    found = records(lines)
    assert 60 <= len(found) < 2500 and "holds the " in said and "Traceback" not in said
    assert len(shown(drawn / "v.mp4")) in (len(found), len(found) + 1)
    assert os.listdir(drawn) == ["v.mp4"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--every", "0"], "Invalid value for '--every'"),
        (["--start", "soon"], "expected seconds (90 or 2.5)"),
        (["--start", "5", "--stop", "0:04"], "--stop=4 is not after start=5"),
        (["--timeout", "0"], "Invalid value for '--timeout'"),
        (["--stop", "nan"], "expected seconds"),
    ],
)
def test_wrong_usage_is_one_line(options: list[str], said: str, model: Model) -> None:
    result = detect(model, "v.mp4", *options)
    assert result.exit_code == 2
    (line,) = error_lines(result)
    assert said in line


def test_offline_forbids_addresses(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--offline forbids connections" in detect(model, "--offline", "http://127.0.0.1:9/a.jpg").stderr
    monkeypatch.setenv("DARKNET_PY_OFFLINE", "1")
    result = detect(model, "rtsp://127.0.0.1:9/a")
    assert result.exit_code == 1 and "DARKNET_PY_OFFLINE forbids connections" in result.stderr
