"""The command line when all is well or some inputs are not: what it prints, writes and returns."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from command_line import CFG, Model, error_lines, found_in, run, scene, weights_bytes
from PIL import Image

from darknet_py import Detector
from darknet_py.cli.main import main
from darknet_py.draw import class_color


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path)


# What comes out -----------------------------------------------------------------------------------------------


def test_table(model):
    picture = model.picture("photo.png", (1, 2), (3, 0))
    result = model.detect(picture)
    head, titles, *rows = result.stdout.splitlines()
    assert head.startswith(f"{picture}: 2 found in ")
    assert titles.split() == ["class", "conf", "left", "top", "width", "height"]
    assert sorted(row.split()[2:] for row in rows) == [["32", "64", "32", "32"], ["96", "0", "32", "32"]]
    assert {row.split()[0] for row in rows} == {"dog"}
    assert (result.exit_code, result.stderr) == (0, "")


def test_json_is_what_the_detector_finds(model):
    pictures = [model.picture(name, cell) for name, cell in (('a "quoted"\t猫.png', (0, 0)), ("b.png", (2, 1)))]
    target = model.folder / "found.json"
    assert model.detect("--json", target, *pictures).exit_code == 0
    detector = Detector(model.cfg, model.weights)
    records = json.loads(target.read_text())
    assert [record["frame_id"] for record in records] == [1, 2]
    assert [record["filename"] for record in records] == [str(picture) for picture in pictures]
    for record, picture in zip(records, pictures, strict=True):
        expected = detector.detect(picture).to_darknet_json(str(picture), record["frame_id"])
        (found,), (wanted,) = record["objects"], expected["objects"]
        assert (found["class_id"], found["name"]) == (1, "dog")
        assert found["relative_coordinates"] == pytest.approx(wanted["relative_coordinates"], abs=1e-6)
        assert found["confidence"] == pytest.approx(wanted["confidence"], abs=1e-6)


def test_json_on_stdout_is_nothing_but_json(model):
    result = model.detect("--json", "-", model.picture("photo.png", (1, 1)), "nowhere.png", model.folder / "*.gif")
    (record,) = json.loads(result.stdout)
    assert record["objects"][0]["name"] == "dog"
    assert len(error_lines(result)) == 2
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("options", "arguments", "thresholds"),
    [
        ([], {}, {}),
        (["--thresh", "0.98"], {}, {"thresh": 0.98}),
        (["--thresh", "0", "--nms", "0.1"], {}, {"thresh": 0, "nms": 0.1}),
        (["--letterbox"], {"letterbox": True}, {}),
        (["--no-letterbox", "--threads", "1"], {"letterbox": False}, {}),
        (["--size", "64x48"], {"size": (64, 48)}, {}),
        (["--size", "64"], {"size": (64, 64)}, {}),
        (["--like", "opencv"], {"like": "opencv"}, {}),
        (["--like", "darknet.py", "--threads", "2"], {"like": "darknet.py"}, {}),
    ],
)
def test_options_reach_the_detector(model, options, arguments, thresholds):
    model.cfg.write_text(CFG.replace("channels=3", "channels=3\nletter_box=1"))
    picture = model.folder / "photo.png"
    Image.fromarray(scene((1, 1), (3, 0))[:, 20:]).save(picture)
    (record,) = json.loads(model.detect("--json", "-", *options, picture).stdout)
    expected = Detector(model.cfg, model.weights, **arguments).detect(picture, **thresholds)
    boxes = [list(found["relative_coordinates"].values()) for found in record["objects"]]
    assert len(boxes) == len(expected)
    assert np.array(boxes).reshape(-1, 4) == pytest.approx(expected.relative_cxcywh, abs=1e-6)


def test_names_are_read_from_the_file_given(model):
    names = model.folder / "other.txt"
    names.write_text("Katze\nHündin\nEule\n", encoding="utf-8")
    assert "Hündin" in model.detect("--names", names, model.picture("photo.png", (1, 1))).stdout


def test_grey_network(model):
    model.cfg.write_text(CFG.replace("channels=3", "channels=1"))
    model.weights.write_bytes(weights_bytes(1))
    result = model.detect("--out", model.folder / "drawn", model.picture("photo.jpg", (1, 1)))
    assert "dog" in result.stdout
    assert (model.folder / "drawn" / "photo.jpg").is_file()


# Annotated pictures -------------------------------------------------------------------------------------------


def test_annotated_picture_keeps_its_colours(model):
    image = scene((1, 1))
    image[:, 96:] = (200, 30, 10)
    Image.fromarray(image).save(model.folder / "photo.png")
    out = model.folder / "new" / "drawn"
    assert model.detect("--out", out, model.folder / "photo.png").exit_code == 0
    drawn = np.asarray(Image.open(out / "photo.png"))
    assert drawn.shape == image.shape
    assert (drawn[:, 100:] == image[:, 100:]).all()
    assert (drawn[64, 36:60] == class_color(1)).all()  # the lower edge, in RGB


def test_pictures_of_one_name_do_not_replace_each_other(model):
    one, two = model.picture("one/photo.png", (1, 1)), model.picture("two/PHOTO.png", (2, 1))
    three = model.picture("one/photo.tif", (0, 0))
    out = model.folder / "drawn"
    assert model.detect("--out", out, one, two, three).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["PHOTO-2.png", "photo-3.png", "photo.png"]


def test_pictures_that_are_read_are_never_replaced(model):
    picture = model.picture("album/photo.png", (1, 1))
    before = picture.read_bytes()
    assert model.detect("--out", picture.parent, picture).exit_code == 0
    assert picture.read_bytes() == before
    assert (picture.parent / "photo-2.png").is_file()


def test_picture_that_cannot_be_written_is_found_before_the_first(model):
    first, second = model.picture("first.png", (1, 1)), model.picture("second.png", (1, 1))
    out = model.folder / "drawn"
    (out / "second.png").mkdir(parents=True)
    result = model.detect("--out", out, first, second)
    assert (result.exit_code, len(error_lines(result)), result.stdout) == (2, 1, "")
    assert str(out / "second.png") in error_lines(result)[0]
    assert [path.name for path in out.iterdir()] == ["second.png"]


# Inputs -------------------------------------------------------------------------------------------------------


def test_directory_gives_its_pictures_by_name(model):
    for name in ("b.png", "a.JPG", "c.tiff"):
        model.picture(f"album/{name}")
    model.picture("album/.hidden.png")
    model.picture("album/inner.png/deep.png")
    (model.folder / "album" / "notes.txt").write_text("no picture")
    result = model.detect(model.folder / "album")
    assert found_in(result) == ["a.JPG", "b.png", "c.tiff"]
    assert result.exit_code == 0


def test_pattern_that_no_shell_expanded(model):
    for name in ("10.png", "2.png", "x.jpg"):
        model.picture(f"album/{name}")
    assert found_in(model.detect(model.folder / "album" / "*.png")) == ["10.png", "2.png"]
    assert found_in(model.detect(model.folder / "**" / "*.jpg")) == ["x.jpg"]


def test_file_whose_name_looks_like_a_pattern(model):
    assert found_in(model.detect(model.picture("photo[1].png"))) == ["photo[1].png"]


@pytest.mark.parametrize("name", ["empty", "none*.png", "missing.png"])
def test_input_without_a_picture_is_one_error_line(model, name):
    (model.folder / "empty").mkdir()
    result = model.detect(model.folder / name, model.picture("photo.png"))
    assert found_in(result) == ["photo.png"]
    (line,) = error_lines(result)
    assert line.startswith(f"Error: {model.folder / name}: ")
    assert result.exit_code == 1


def damaged(kind: str) -> bytes:
    """Files that are no pictures."""
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(stream, "JPEG")
    whole = stream.getvalue()
    return {"text": b"not a picture\n", "empty": b"", "cut": whole[: len(whole) // 2], "start": whole[:20]}[kind]


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "start"])
def test_bad_picture_does_not_stop_the_others(model, kind):
    bad = model.folder / "bad.jpg"
    bad.write_bytes(damaged(kind))
    target = model.folder / "found.json"
    result = model.detect("--json", target, model.picture("a.png"), bad, model.picture("z.png", (1, 1)))
    assert found_in(result) == ["a.png", "z.png"]
    assert [record["frame_id"] for record in json.loads(target.read_text())] == [1, 3]
    (line,) = error_lines(result)
    assert line.startswith(f"Error: {bad}: ")
    assert result.exit_code == 1


@pytest.mark.parametrize("kind", ["1x1", "16 bit", "CMYK", "grey", "alpha"])
def test_unusual_pictures_are_read_right(model, kind):
    grey = scene((1, 1))[..., 0]
    path = model.folder / ("photo.jpg" if kind == "CMYK" else "photo.png")
    if kind == "16 bit":
        cv2.imwrite(str(path), grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(np.full((1, 1), 255, np.uint8) if kind == "1x1" else grey)
        image.convert({"CMYK": "CMYK", "alpha": "RGBA"}.get(kind, "L")).save(path)
    result = model.detect("--json", "-", path)
    assert result.exit_code == 0
    # A single white pixel fills every cell.
    assert len(json.loads(result.stdout)[0]["objects"]) == (12 if kind == "1x1" else 1)


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("1 TB")])
def test_picture_too_large_for_memory_is_one_failure(model, monkeypatch, error):
    def detect(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("darknet_py.sources.pictures.load_image", detect)
    result = model.detect(model.picture("photo.png"))
    assert (result.exit_code, len(error_lines(result))) == (1, 1)
    assert "memory" in result.stderr


# The other commands -------------------------------------------------------------------------------------------


def test_inspect(model):
    result = run("inspect", model.cfg, model.weights)
    assert result.exit_code == 0
    assert "which fits" in result.stdout
    plain = json.loads(run("inspect", model.cfg, model.weights, "--json", "--size", "64x48").stdout)
    assert plain["input"] == {"c": 3, "h": 48, "w": 64}
    assert plain["weights"]["error"] is None


def test_inspect_prints_the_table_although_the_weights_do_not_fit(model):
    model.weights.write_bytes(model.weights.read_bytes()[:-4])
    for options in ([], ["--json"]):
        result = run("inspect", model.cfg, model.weights, *options)
        assert result.exit_code == 1
        assert "yolo" in result.stdout
        assert "4 bytes too few" in error_lines(result)[0]


def test_inspect_shipped_model():
    assert "Total BFLOPS  6.910" in run("inspect", "yolov4-tiny", "--size", "416").stdout


@pytest.mark.parametrize("text", [CFG, CFG.replace("channels=3", "channels=1"), CFG.split("[yolo]")[0]])
def test_warmup(model, text):
    model.cfg.write_text(text)
    result = run("warmup", model.cfg, "--threads", "2", "--size", "64x48")
    assert result.exit_code == 0
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == ["cache", "first call", "second call"]
    assert result.stdout.endswith(" s, nothing compiled\n")


def test_every_command_explains_itself():
    commands = main.list_commands(click.Context(main))
    assert {"bench", "detect", "inspect", "serve", "warmup"} < set(commands)
    for command in commands:
        short, long = run(command, "-h"), run(command, "--help")
        # Both whole, exit code and standard error too: an empty page alone would not say why.
        assert (short.exit_code, short.stderr, short.stdout) == (long.exit_code, long.stderr, long.stdout)
        assert (short.exit_code, short.stderr) == (0, "")
        assert short.stdout.startswith("Usage: ") and "Examples:" in short.stdout


# A real model --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Copies of a real model and a real picture."""
    folder = tmp_path_factory.mktemp("real")
    for file in (shared / "models" / "yolov4-tiny-voc").iterdir():
        shutil.copy(file, folder)
    shutil.copy(shared / "images" / "classic" / "dog.jpg", folder)
    return folder, folder / "dog.jpg"


def test_real_model(real):
    folder, picture = real
    cfg, weights = folder / "yolov4-tiny-voc.cfg", folder / "yolov4-tiny-voc.weights"
    options = ["--json", folder / "found.json", "--out", folder / "drawn"]
    result = run("detect", "--cfg", cfg, "--weights", weights, *options, picture)
    assert (result.exit_code, result.stderr) == (0, "")
    assert {line.split()[0] for line in result.stdout.splitlines()[2:]} == {"bicycle", "car", "dog"}
    (record,) = json.loads((folder / "found.json").read_text())
    expected = Detector(cfg, weights).detect(picture)
    assert [found["name"] for found in record["objects"]] == list(expected.class_names)
    assert [found["confidence"] for found in record["objects"]] == pytest.approx(expected.confidence, abs=1e-6)
    assert cv2.imread(str(folder / "drawn" / "dog.jpg")).shape == cv2.imread(str(picture)).shape
