"""What an actor of ``darknet_py.ray`` does, without a cluster: rows, blocks, folders; and what ``--ray`` refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Model, error_lines, run
from file_server import FileServer, whole

from darknet_py import Detections, Detector, OptionError
from darknet_py.outputs.record import Problem

pa = pytest.importorskip("pyarrow", reason="the extra [ray] is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra [ray] is not installed")

from darknet_py.ray.archive import _Writer  # noqa: E402
from darknet_py.ray.blockfolder import BlockFolder, block_name, content_name  # noqa: E402
from darknet_py.ray.carried import CarriedFile  # noqa: E402
from darknet_py.ray.columns import detections_of, with_found  # noqa: E402
from darknet_py.ray.fetching import picture_source  # noqa: E402
from darknet_py.ray.worker import Job, Worker, column_of  # noqa: E402

NAMES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("model"))


def job_of(model: Model, **more: Any) -> Job:
    return Job(model.cfg, model.weights, NAMES, {"threads": 1}, {"thresh": 0.25, "nms": 0.45}, **more)


def test_a_row_has_what_detect_finds_or_why_there_is_nothing(model: Model) -> None:
    good = [model.picture(f"rows/{n}.png", (n % 4, n % 3)) for n in range(11)]
    text = model.folder / "rows" / "text.jpg"
    text.write_text("no picture")
    values = [*map(str, good), str(text), "missing.png", "", None, 3]
    table = Worker(job_of(model))(pa.table({"path": pa.array(values[:-2]), "id": pa.array(range(14))}))
    rows, detector = table.to_pylist(), Detector(model.cfg, model.weights, NAMES)
    assert [row["id"] for row in rows] == list(range(14))
    assert [detections_of(row) for row in rows[:11]] == [detector.detect(path) for path in good]
    assert all(len(detections_of(row)) == 1 for row in rows[:11])
    assert [row["error_kind"] for row in rows] == [None] * 11 + ["ImageError"] * 3
    assert "no such file" in rows[12]["error"] and rows[12]["width"] is None and rows[12]["detections"] == []
    odd = Worker(job_of(model)).found(values[-2:])
    assert [one.message for one in odd if isinstance(one, Problem)] == [
        "nothing in place of a picture: expected a path, an address or a file's bytes",
        "int in place of a picture: expected a path, an address or a file's bytes",
    ]


def test_bytes_leave_and_the_rest_of_the_row_stays(model: Model) -> None:
    data = model.picture("bytes.png", (1, 1)).read_bytes()
    found = Worker(job_of(model))(pa.table({"bytes": [data, b"x", b""], "key": ["a", "b", "c"]}))
    assert found.column_names == ["key", "width", "height", "detections", "error", "error_kind"]
    assert found.column("error_kind").to_pylist() == [None, "ImageError", "ImageError"]
    assert found.column("width").to_pylist() == [128, None, None]


def test_tables_have_the_same_schema_whatever_was_found(model: Model) -> None:
    worker = Worker(job_of(model))
    dark, light = model.picture("dark.png"), model.picture("light.png", (0, 0))
    schemas = [worker(pa.table({"path": pa.array(paths, pa.string())})).schema for paths in ([], [str(dark)], ["x"])]
    assert schemas == [worker(pa.table({"path": [str(light)]})).schema] * 3
    assert schemas[0].field("detections").type.value_type.field("confidence").type == pa.float32()


def test_numbers_come_back_to_the_bit() -> None:
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 1 << 32, (9, 6), np.uint32).view(np.float32)
    names = np.array(["dog", "é,\n", "x" * 40] * 3)
    one = Detections(bits[:, :4], bits[:, 4], np.arange(9), names, 5, 7, bits[:, 5])
    table = with_found(pa.table({"n": [0, 1, 2]}), [one, Problem("ImageError", "broken"), Detections.empty(3, 2)])
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    rows = pq.read_table(buffer.getvalue()).to_pylist()
    back = detections_of(rows[0])
    for name in ("xyxy", "confidence", "objectness"):
        before, after = getattr(one, name), getattr(back, name)
        # A NaN may come back as another NaN: Python's floats are doubles.
        same = before.view(np.uint32) == after.view(np.uint32)
        assert (same | (np.isnan(before) & np.isnan(after))).all()
    assert back.class_names.tolist() == names.tolist() and detections_of(rows[2]) == Detections.empty(3, 2)
    with pytest.raises(ValueError, match="broken"):
        detections_of(rows[1])


def test_columns_are_found_or_asked_for() -> None:
    assert column_of(["id", "path"], None) == "path" and column_of(["path", "bytes"], None) == "bytes"
    assert column_of(["photo"], None) == "photo" and column_of(["a", "b"], "b") == "b"
    with pytest.raises(OptionError, match="no such column, but a, b"):
        column_of(["a", "b"], "c")
    with pytest.raises(OptionError, match="column=NAME"):
        column_of(["a", "b"], None)
    with pytest.raises(OptionError, match="a column 'width'"):
        with_found(pa.table({"width": [1]}), [Problem("a", "b")])


def test_addresses_of_the_web_and_of_stores_are_fetched(model: Model, server: FileServer) -> None:
    path = model.picture("stored.png", (2, 1))
    server.answers["/a.png"] = whole(path.read_bytes())
    found = Worker(job_of(model)).found(
        [path.as_uri(), f"{server.url}/a.png", f"{server.url}/b.png", "file:///none.png"]
    )
    assert found[:2] == [Detector(model.cfg, model.weights, NAMES).detect(path)] * 2
    assert [type(one) for one in found[2:]] == [Problem, Problem]
    assert picture_source("a.png", "/photos") == "/photos/a.png"


def test_tiles_are_those_of_detect_tiled(model: Model) -> None:
    path = str(model.picture("tiled.png", (0, 0), (3, 2)))
    worker = Worker(job_of(model, tiled={"tiles": (64, 48), "overlap": 0.2}))
    expected = Detector(model.cfg, model.weights, NAMES).detect_tiled(path, tiles=(64, 48))
    found = worker.found([path, "none.png"])
    assert found[0] == expected and isinstance(found[1], Problem)


def test_a_block_is_a_file_and_a_row_that_says_so(model: Model, tmp_path: Path) -> None:
    path = os.fsencode(model.picture("block.png", (0, 0)))
    target = BlockFolder(str(tmp_path / "found"))
    target.open()
    assert target.done() == set() and target.run() is None
    columns = {"path": ["shown", "gone"], "_address": [path, b"gone\xff.png"], "_block": [12, 12]}
    (told,) = _Writer(job_of(model), target, False)(pa.table(columns)).to_pylist()
    assert told["file"] == block_name(12) == "block-00000012.parquet" and told["pictures"] == 2
    assert [one["name"] for one in told["failed"]] == ["gone"]
    assert target.done() == {block_name(12)} and target.count(block_name(12)) == (2, 1)
    target.say({"block": 2})
    (tmp_path / "found" / ".block-00000013.parquet-0123abcd.tmp").write_bytes(b"half")
    target.open()
    assert sorted(os.listdir(tmp_path / "found")) == ["_run.json", block_name(12)]
    assert pq.read_table(tmp_path / "found").column("path").to_pylist() == ["shown", "gone"]


def test_blocks_of_a_dataset_are_known_by_their_content(model: Model, tmp_path: Path) -> None:
    path = str(model.picture("content.png", (0, 0)))
    target = BlockFolder(str(tmp_path / "found"))
    target.open()
    writer, table = _Writer(job_of(model), target, True), pa.table({"path": [path], "id": [1]})
    assert len(writer(table)) == 1 and len(writer(table)) == 0
    assert len(writer(table.set_column(1, "id", pa.array([2])))) == 1
    assert content_name(pa.concat_tables([table[:0], table])) == content_name(table) and len(target.done()) == 2


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    target = BlockFolder(str(tmp_path))
    for text in ("{", "[]"):
        (tmp_path / "_run.json").write_text(text)
        with pytest.raises(OptionError, match="not as detect_to_parquet writes it"):
            target.run()
    (tmp_path / block_name(0)).write_bytes(b"PAR1")
    with pytest.raises(OptionError, match="no block as"):
        target.count(block_name(0))
    (tmp_path / "_run.json").write_text(json.dumps({"schema": 1}))
    assert target.run() == {"schema": 1}


def test_files_that_are_not_there_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import darknet_py.ray.carried as carried

    class Store:
        def get(self, content: Any) -> Any:
            return content

    monkeypatch.setattr(carried, "need", lambda module: Store())
    monkeypatch.setattr(carried.tempfile, "gettempdir", lambda: str(tmp_path))
    here = tmp_path / "a.cfg"
    here.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file = CarriedFile(str(here), digest, np.frombuffer(b"abc", np.uint8))
    assert file.here() == str(here)
    here.write_bytes(b"another")
    elsewhere = Path(file.here())
    assert elsewhere != here and elsewhere.read_bytes() == b"abc" and elsewhere.name == "a.cfg"
    elsewhere.write_bytes(b"tampered")
    assert Path(file.here()).read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", 2, "a.png"], "--workers is of --ray"),
        (["--ray", "a.png"], "say where with --out DIR"),
        (["--ray", "--out", "o", "--json", "f", "a.png"], "--json has no meaning with --ray"),
        (["--ray", "--out", "o", "--jsonl", "f", "--resume", "a.png"], "--jsonl has no meaning with --ray"),
        (["--ray", "--out", "o", "--every", "2", "a.png"], "--every has no meaning with --ray"),
        (["--ray", "--out", "o", "--overlap", "0.1", "a.png"], "--overlap is of the tiles"),
        (["--ray", "--out", "o", "rtsp://camera/live"], "a camera or stream"),
        (["--ray"], "Missing argument"),
        (["--ray=", "--out", "o", "a.png"], "--ray"),
    ],
)
def test_what_has_no_meaning_in_a_cluster_is_refused(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("detect", *arguments)
    assert result.exit_code == 2 and len(error_lines(result)) == 1 and said in result.stderr
    assert os.listdir(tmp_path) == []


def test_nobody_at_the_address_is_said_at_once(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    picture = model.picture("alone.png")
    result = model.detect("--ray", "127.0.0.1:1", "--out", tmp_path / "out", picture)
    assert result.exit_code == 1 and "no cluster at 127.0.0.1:1" in result.stderr
