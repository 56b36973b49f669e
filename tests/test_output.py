"""The JSON writer never leaves half a file, and the table stays in its columns."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from darknet_py.boxes.detections import Detections
from darknet_py.cli.tables import format_table
from darknet_py.errors import OptionError
from darknet_py.outputs.json_array import JsonWriter, darknet_json
from darknet_py.outputs.json_text import to_json

ROOT = Path(__file__).parents[1]
RECORD = {
    "frame_id": 1,
    "filename": 'C:\\pictures\\"dog" \u732b.jpg',
    "objects": [{"class_id": 3, "name": "a\tb", "confidence": 0.123456789, "relative_coordinates": {"width": 1e-9}}],
}
ROUNDED = json.loads(json.dumps(RECORD).replace("0.123456789", "0.123457").replace("1e-09", "0.0"))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_records_become_one_array(tmp_path, count):
    target = tmp_path / "result.json"
    with JsonWriter(target) as writer:
        for _ in range(count):
            writer.write(RECORD)
    assert json.loads(target.read_text()) == [ROUNDED] * count
    assert target.read_text() == "".join(darknet_json([RECORD] * count))
    assert list(tmp_path.iterdir()) == [target]


def test_numbers_json_does_not_have_are_null():
    record = {"a": float("nan"), "b": [np.float32("inf"), np.int64(4)], "c": True, "d": (np.float32(0.5), None)}
    assert json.loads("".join(darknet_json([record]))) == [{"a": None, "b": [None, 4], "c": True, "d": [0.5, None]}]


def write_and_fail(target):
    with JsonWriter(target) as writer:
        writer.write(RECORD)
        raise RuntimeError


def test_file_is_replaced_at_the_end(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("before")
    with JsonWriter(target) as writer:
        writer.write(RECORD)
        assert target.read_text() == "before"
    assert json.loads(target.read_text()) == [ROUNDED]


def test_old_file_stays_when_the_block_raises(tmp_path):
    target = tmp_path / "result.json"
    target.write_text("before")
    with pytest.raises(RuntimeError):
        write_and_fail(target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_the_target_of_a_link_is_replaced(tmp_path):
    (tmp_path / "real.json").write_text("before")
    link = tmp_path / "link.json"
    try:
        link.symlink_to("real.json")
    except OSError:
        pytest.skip("no symbolic links here")
    with JsonWriter(link) as writer:
        writer.write({})
    assert link.is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == [{}]


def test_device_is_written_directly():
    with JsonWriter(os.devnull) as writer:
        writer.write(RECORD)
    assert not os.path.isfile(os.devnull)


@pytest.mark.parametrize("bad", ["missing/result.json", "."])
def test_target_that_cannot_be_written(tmp_path, bad):
    with pytest.raises(OptionError, match="cannot be written"), JsonWriter(tmp_path / bad):
        pass


def test_standard_output_gets_each_record_at_once(capsys):
    with JsonWriter("-") as writer:
        writer.write({"frame_id": 1})
        assert capsys.readouterr().out == '[\n{"frame_id": 1}'
    assert capsys.readouterr().out == "\n]\n"
    assert not sys.stdout.closed


def test_stream_cut_off_is_no_valid_array():
    stream = io.StringIO()
    with pytest.raises(RuntimeError):
        write_and_fail(stream)
    assert not stream.closed
    with pytest.raises(json.JSONDecodeError):
        json.loads(stream.getvalue())


def detections(*rows):
    """rows of name, confidence, left, top, right, bottom."""
    names, confidence, *corners = zip(*rows, strict=True)
    return Detections(
        np.array(corners).T, np.array(confidence), np.arange(len(rows)), np.array(names), 640, 424, np.ones(len(rows))
    )


def test_table_is_aligned_and_likeliest_first():
    table = format_table(detections(("dog", 0.5, 1, 2, 30, 40), ("猫猫", 0.987, 100.6, 2, 300, 40)), "x.jpg", 0.0123)
    assert table.splitlines() == [
        "x.jpg: 2 found in 12.3 ms",
        "  class  conf  left  top  width  height",
        "  猫猫    99%   101    2    199      38",
        "  dog     50%     1    2     29      38",
    ]


def test_table_of_nothing():
    assert format_table(Detections.empty(4, 4), "x.jpg", 0.5) == "x.jpg: nothing found in 500.0 ms"


def test_table_of_names_that_misbehave():
    table = format_table(detections(("n" * 99, 0.5, 0, 0, 1, 1), ("\x1b[31m\n", 0.4, 0, 0, np.inf, 1)), "a\nb", 0)
    lines = table.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("a?b: ")
    assert "n..." in lines[2]
    assert len(lines[2]) < 80
    assert "?[31m?" in lines[3]
    assert "inf" in lines[3]
    assert "\x1b" not in table


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"caf\xe9.jpg", "caf\\xe9.jpg"),
        ("größe\\xe9.jpg".encode(), "größe\\xe9.jpg"),
        (b"\xff\xfe\xc3\xa9", "\\xff\\xfeé"),
        ("\ud800".encode("utf-8", "surrogatepass"), "\\xed\\xa0\\x80"),
    ],
)
def test_names_that_are_not_utf_8_are_valid_json_and_come_back(raw, shown):
    text = "".join(
        darknet_json([{"filename": raw.decode("utf-8", "surrogateescape"), "objects": [{"name": "\ud812"}]}])
    )
    (record,) = json.loads(text)
    record["filename"].encode()  # Unicode alone
    assert record["filename"] == shown
    if "filename_base64" in record:
        assert base64.b64decode(record["filename_base64"]) == raw
    else:
        assert record["filename"].encode() == raw
    assert record["objects"] == [{"name": "\\xed\\xa0\\x92", "name_base64": "7aCS"}]


def test_keys_that_are_not_unicode_and_numbers_that_json_has_not():
    assert json.loads(to_json({"\udce9": [float("nan"), 0.123456789]})) == {"\\xe9": [None, 0.123456789]}


@pytest.mark.skipif(os.name != "posix", reason="of POSIX alone")
def test_the_records_that_found_room_are_kept(tmp_path):
    """A limit on the size of files is as good as a full disk, and needs no root."""
    program = f"""
import resource
from darknet_py import OutputError
from darknet_py.outputs.json_array import JsonWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with JsonWriter({str(tmp_path / "a")!r}, keep=True) as writer:
        for number in range(100):
            writer.write({{"frame_id": number, "filename": "x" * 50}})
except OutputError as error:
    print(writer.count, writer.kept, error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == "" and str(tmp_path / "a") in done.stdout and "File too large" in done.stdout
    records = json.loads((tmp_path / "a").read_text())
    count = int(done.stdout.split()[0])
    assert [record["frame_id"] for record in records] == list(range(count)) and 10 < count < 20
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="of POSIX alone")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("into", ["pipe", "file"])
def test_what_is_open_already_is_written_as_it_is(name, into, tmp_path):
    if not os.path.exists(name):
        pytest.skip(f"no {name} here")
    program = (
        "import sys; from darknet_py.outputs.json_array import JsonWriter; print('first', flush=True)\n"
        "with JsonWriter(sys.argv[1]) as w: w.write({})\nprint('last')"
    )
    command = [sys.executable, "-c", program, name]
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE if into == "pipe" else out, text=True, check=True, timeout=60
        )
    text = done.stdout if into == "pipe" else (tmp_path / "out").read_text()
    assert text == "first\n[\n{}\n]\nlast\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_streams_stay_as_they_are():
    stream = io.StringIO()
    with JsonWriter(stream, keep=True):
        assert stream.getvalue() == ""  # a model that does not load leaves nothing
    assert json.loads(stream.getvalue()) == []
