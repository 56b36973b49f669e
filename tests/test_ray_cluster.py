"""``darknet_py.ray`` in a cluster of two workers on this machine: one is killed, runs are ended and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from darknet_py import Detector, OptionError

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra [ray] is not installed")
data = pytest.importorskip("ray.data", reason="the extra [ray] is not installed")

from darknet_py.ray import Summary, detect, detect_to_parquet, detections_of  # noqa: E402

# Its warnings are its own: of sockets, of deprecated parts of other packages.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

MODEL = "models/yolo-fastest-1.1"
THRESH = 0.1
PATIENCE = 300.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two CPUs, for a worker each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=200 << 20, log_to_driver=False)
    data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def files(shared: Path) -> tuple[str, str, str]:
    folder = shared / MODEL
    return str(folder / "yolo-fastest-1.1.cfg"), str(folder / "yolo-fastest-1.1.weights"), str(folder / "coco.names")


@pytest.fixture(scope="module")
def photos(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """500 paths, of 490 photos and ten files that are none of one kind or another."""
    folder, sources = tmp_path_factory.mktemp("photos"), sorted((shared / "images/val64/images").iterdir())
    paths = [folder / f"{n:03d}.jpg" for n in range(500)]
    for n, path in enumerate(paths):
        data = sources[n % len(sources)].read_bytes()
        if n % 50 != 25:
            os.symlink(sources[n % len(sources)], path)
        elif n < 150:
            path.write_bytes(data[: len(data) // 200])
        elif n < 250:
            path.write_bytes(b"")
        elif n < 350:
            path.write_text("no picture")
        elif n < 450:
            path.mkdir()
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def alone(photos: list[str], files: tuple[str, str, str]) -> list[Any]:
    """What one process finds in each, on two threads."""
    found = Detector(*files, threads=2).detect_batch(photos, THRESH, errors="return")
    assert sum(isinstance(one, Exception) for one in found) == 10
    return found


def check(rows: list[dict[str, Any]], photos: list[str], alone: list[Any]) -> None:
    """Every picture once, and to the bit what one process found."""
    by_path = {row["path"]: row for row in rows}
    assert len(rows) == 500 and sorted(by_path) == photos
    assert sum(row["error"] is None for row in rows) == 490 and sum(row["error"] is not None for row in rows) == 10
    boxes = 0
    for path, expected in zip(photos, alone, strict=True):
        row = by_path[path]
        assert isinstance(expected, Exception) == (row["error"] is not None)
        if row["error"] is None:
            found = detections_of(row)
            assert found == expected
            for name in ("xyxy", "confidence", "objectness"):
                assert np.array_equal(getattr(found, name).view(np.uint32), getattr(expected, name).view(np.uint32))
            boxes += len(found)
        else:
            assert row["error_kind"] == type(expected).__name__ and path in row["error"]
    assert boxes > 490


def workers() -> list[int]:
    """Processes of actors, which Ray names for what they do."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "cmdline").read_bytes().startswith(b"ray::") and b"_Writer" in (
                    folder / "cmdline"
                ).read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_500_pictures_of_which_ten_are_broken(
    cluster: None, photos: list[str], files: tuple[str, str, str], alone: list[Any], tmp_path: Path
) -> None:
    summary = detect_to_parquet(photos, tmp_path, *files, thresh=THRESH, workers=2)
    assert summary == Summary(pictures=500, errors=10, blocks=8)
    rows = pq.read_table(tmp_path).to_pylist()
    check(rows, photos, alone)
    assert [row["path"] for row in rows] == photos  # files sort as the list does


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_worker_that_is_killed_loses_nothing(
    cluster: None, photos: list[str], files: tuple[str, str, str], alone: list[Any], tmp_path: Path
) -> None:
    done: list[str] = []
    killed: list[int] = []

    def kill(block: Any) -> None:
        done.append(block.file)
        if len(done) in (2, 9):
            assert len(os.listdir(tmp_path)) < 26  # there is work to be lost
            killed.append(workers()[0])
            os.kill(killed[-1], signal.SIGKILL)

    summary = detect_to_parquet(photos, tmp_path, *files, thresh=THRESH, workers=2, block=20, done=kill)
    assert len(killed) == 2 and len(done) == len(set(done)) == 25
    assert summary == Summary(pictures=500, errors=10, blocks=25)
    check(pq.read_table(tmp_path).to_pylist(), photos, alone)


def test_a_run_goes_on_where_it_ended(
    cluster: None, photos: list[str], files: tuple[str, str, str], alone: list[Any], tmp_path: Path
) -> None:
    class Enough(Exception):
        pass

    def stop(block: Any) -> None:
        raise Enough

    with pytest.raises(Enough):
        detect_to_parquet(photos, tmp_path, *files, thresh=THRESH, block=100, done=stop)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("block-*")}
    assert before
    with pytest.raises(OptionError, match="blocks of an earlier run"):
        detect_to_parquet(photos, tmp_path, *files, thresh=THRESH)
    with pytest.raises(OptionError, match=r"made with thresh 0\.1, now 0\.2"):
        detect_to_parquet(photos, tmp_path, *files, thresh=0.2, resume=True)
    with pytest.raises(OptionError, match=r"another list of pictures \(500, now 499\)"):
        detect_to_parquet(photos[1:], tmp_path, *files, thresh=THRESH, resume=True)
    # A block that another task was writing when the run ended may have come since.
    kept = sum(pq.read_metadata(path).num_rows for path in tmp_path.glob("block-*"))
    summary = detect_to_parquet(photos, tmp_path, *files, thresh=THRESH, resume=True)
    assert summary.pictures == 500 and summary.blocks == 5 and summary.resumed >= kept >= 100
    for name, time_written in before.items():
        assert (tmp_path / name).stat().st_mtime_ns == time_written
    check(pq.read_table(tmp_path).to_pylist(), photos, alone)


def test_a_dataset_of_bytes_is_a_stage_and_resumes_by_its_blocks(
    cluster: None, photos: list[str], files: tuple[str, str, str], alone: list[Any], tmp_path: Path
) -> None:
    rows = [{"bytes": Path(path).read_bytes(), "path": path} for path in photos if Path(path).is_file()]
    dataset = data.from_items(rows, override_num_blocks=6)
    found = detect(dataset, *files, thresh=THRESH, workers=2)
    assert found.schema().names == ["path", "width", "height", "detections", "error", "error_kind"]
    found.write_parquet(str(tmp_path / "stage"))
    table = pq.read_table(tmp_path / "stage")
    expected = dict(zip(photos, alone, strict=True))
    for row in table.to_pylist():
        if row["error"] is None:
            assert detections_of(row) == expected[row["path"]]
    assert len(table) == len(rows) and len(table) - table.column("error").null_count == len(rows) - 490
    folder = tmp_path / "blocks"
    first = detect_to_parquet(dataset, folder, *files, thresh=THRESH)
    assert first.pictures == len(rows) and first.blocks == 6 and first.resumed == 0
    next(folder.glob("block-*")).unlink()
    again = detect_to_parquet(dataset, folder, *files, thresh=THRESH, resume=True)
    assert again.pictures == len(rows) and again.blocks == 6 and 0 < again.resumed < len(rows)


def test_what_is_wrong_is_said_before_anything_runs(cluster: None, files: tuple[str, str, str], tmp_path: Path) -> None:
    dataset = data.from_items(["a.jpg"])
    for call, said in (
        (lambda: detect(["a.jpg"], *files), "a dataset of type list"),
        (lambda: detect(dataset, *files, column="photo"), "no such column"),
        (lambda: detect(dataset, *files, cpus=0), "cpus=0"),
        (lambda: detect(dataset, *files, treshold=0.5), "treshold=0.5: no option"),
        (lambda: detect(dataset, *files, model="yolov4-tiny"), "give one or the other"),
        (lambda: detect(dataset, *files, classes=["unicorn"]), "no class is called"),
        (lambda: detect(dataset, *files, tiles=(0, 5)), "tiles"),
        (lambda: detect_to_parquet("a.jpg", tmp_path, *files), "one picture, expected a list"),
        (lambda: detect_to_parquet([], tmp_path, *files), "no pictures"),
        (lambda: detect_to_parquet([b"a"], tmp_path, *files), "expected addresses"),
        (lambda: detect_to_parquet(["a.jpg"], tmp_path, *files, workers=0), "workers=0"),
    ):
        with pytest.raises(OptionError, match=said):
            call()


def test_the_command_killed_and_resumed_equals_one_process(
    photos: list[str], files: tuple[str, str, str], alone: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("\n".join(photos))
    command = [sys.executable, "-m", "darknet_py", "detect", "--cfg", files[0], "--weights", files[1], "--names"]
    command += [
        files[2],
        "--thresh",
        str(THRESH),
        "--ray",
        "--workers",
        "2",
        "--out",
        str(tmp_path / "out"),
        "--resume",
    ]
    command += [str(tmp_path / "list.txt")]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "RAY_ADDRESS": "local"})
    try:
        deadline = time.monotonic() + PATIENCE
        while len(list((tmp_path / "out").glob("block-*"))) < 2:
            assert running.poll() is None and time.monotonic() < deadline, running.stderr and running.stderr.read()
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=PATIENCE)
    finally:
        running.kill()
    assert running.returncode == 143 and "--resume goes on from there" in said and "Traceback" not in said
    again = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, "RAY_ADDRESS": "local"}
    )
    assert again.returncode == 1 and again.stdout == "" and "Traceback" not in again.stderr
    assert "holds 500 pictures in 8 Parquet files, 10 of them with an error" in again.stderr
    assert again.stderr.count("Error: ") <= 10
    check(pq.read_table(tmp_path / "out").to_pylist(), photos, alone)
