"""The built-in model: ``Detector()``, ``detect`` without ``--cfg`` and ``demo``, on a tiny stand-in and as it ships."""

from __future__ import annotations

import json
import os
import re
from itertools import combinations
from pathlib import Path

import cv2
import pytest
from command_line import CFG, Model, error_lines, found_in, run

from darknet_py import CfgError, Detector, OptionError, WeightsError
from darknet_py import shipped as shipped_module
from darknet_py.graph import load_graph
from darknet_py.shipped import BUILT_IN, resolve_model, shipped_pictures

ANNOUNCED = (
    f"Using the built-in model {BUILT_IN} (cat, dog, owl); give --model NAME, or --cfg and --weights, for another.\n"
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A package whose built-in model is the tiny one, as a wheel lays it out; the folder around it is the current."""
    data = tmp_path / "site" / "darknet_py" / "data"
    for kind in ("cfg", "weights", "pictures"):
        (data / kind).mkdir(parents=True)
    model = Model(tmp_path)
    model.cfg = model.cfg.rename(data / "cfg" / f"{BUILT_IN}.cfg")
    model.weights = model.weights.rename(data / "weights" / f"{BUILT_IN}.weights")
    (tmp_path / "tiny.names").rename(data / "cfg" / "animals.names")
    (data / "cfg" / "untrained.cfg").write_text(CFG)
    model.picture("site/darknet_py/data/pictures/b-two.jpg", (1, 2), (3, 0))
    model.picture("site/darknet_py/data/pictures/a-none.jpg")
    monkeypatch.setattr(shipped_module, "_PACKAGE", data.parent)
    # A grey frame is bright enough for the tiny model.
    monkeypatch.setattr(shipped_module, "_BUILT_IN_LOOKS", ("whole",))
    monkeypatch.chdir(tmp_path)
    return model


# In Python ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["no arguments", "name", "file name", "path", "relative path"])
def test_detector_finds_what_ships(installed, how):
    cfg = {
        "no arguments": None,
        "name": BUILT_IN,
        "file name": f"{BUILT_IN}.cfg",
        "path": installed.cfg,
        "relative path": os.path.relpath(installed.cfg),
    }[how]
    detector = Detector(cfg)
    assert detector.names == ("cat", "dog", "owl")
    picture = installed.picture("photo.png", (1, 1))
    assert detector.detect(picture) == Detector(installed.cfg, installed.weights).detect(picture)
    assert len(detector.detect(picture)) == 1


def test_other_arguments_go_with_the_built_in_model(installed):
    detector = Detector(names=["a", "b", "c"], size=(64, 48), threads=1)
    assert detector.names == ("a", "b", "c")
    assert tuple(detector.graph.blob) == (3, 48, 64)


def test_a_file_of_that_name_here_is_not_the_built_in_model(installed):
    Path(f"{BUILT_IN}.cfg").write_text(CFG.replace("classes=3", "classes=30"))
    Path(BUILT_IN).write_text("no cfg at all")
    assert resolve_model() == (installed.cfg, installed.weights)
    with pytest.raises(OptionError, match="no weights ship"):
        Detector(f"{BUILT_IN}.cfg")


def test_cfg_whose_weights_do_not_ship_needs_some(installed):
    installed.folder.joinpath("mine.cfg").write_text(CFG)
    for cfg in ("untrained", "mine.cfg"):
        with pytest.raises(OptionError, match=rf"{cfg}.*give the .weights file"):
            Detector(cfg)
    with pytest.raises(CfgError, match=rf"shipped model \(untrained, {BUILT_IN}\)"):
        Detector("missing")
    with pytest.raises(OptionError, match="a graph without weights"):
        Detector(load_graph(installed.cfg))


def test_weights_alone_are_refused(installed):
    with pytest.raises(OptionError, match="weights without a cfg"):
        Detector(weights=installed.weights)


def test_installation_without_the_weights_says_so(installed):
    installed.weights.unlink()
    with pytest.raises(WeightsError, match=rf"{BUILT_IN}.weights: no such file.*install darknet-py again"):
        Detector()
    installed.cfg.unlink()
    with pytest.raises(CfgError, match=rf"{BUILT_IN}.cfg: no such file"):
        Detector()


# darknet-py detect --------------------------------------------------------------------------------------------


def test_detect_without_cfg_says_what_it_uses(installed):
    picture = installed.picture("photo.png", (1, 1))
    result = run("detect", picture)
    assert (result.exit_code, result.stderr) == (0, ANNOUNCED)
    assert found_in(result) == ["photo.png"]
    assert "dog" in result.stdout


def test_detect_without_cfg_leaves_stdout_to_json(installed):
    result = run("detect", "--json", "-", installed.picture("photo.png", (1, 1)))
    (record,) = json.loads(result.stdout)
    assert [found["name"] for found in record["objects"]] == ["dog"]
    assert result.stderr == ANNOUNCED


def test_detect_announces_the_names_given(installed):
    Path("tiere.txt").write_text("Katze\nHund\nEule\n")
    assert "(Katze, Hund, Eule)" in run("detect", "--names", "tiere.txt", installed.picture("a.png")).stderr


def test_detect_with_the_built_in_models_name_is_silent(installed):
    result = run("detect", "--cfg", BUILT_IN, installed.picture("photo.png", (1, 1)))
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--weights", "x.weights"], "--weights without --cfg"), (["--cfg", "untrained"], "no weights ship")],
)
def test_detect_with_half_a_model_exits_with_2(installed, options, said):
    result = run("detect", *options, installed.picture("photo.png"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_detect_without_the_weights_exits_with_1(installed):
    installed.weights.unlink()
    result = run("detect", installed.picture("photo.png"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "install darknet-py again" in error_lines(result)[0]


# darknet-py demo ----------------------------------------------------------------------------------------------


def test_demo(installed):
    result = run("demo")
    assert (result.exit_code, result.stderr) == (0, "")
    none, two, blank, where, command = result.stdout.splitlines()
    assert re.fullmatch(r"a-none\.jpg: nothing found in \d+\.\d ms", none)
    assert re.fullmatch(r"b-two\.jpg: dog \d+%, dog \d+% in \d+\.\d ms", two)
    assert blank == ""
    assert "darknet-py-demo" in where
    assert command.split()[:2] == ["darknet-py", "detect"]
    assert sorted(path.name for path in Path("darknet-py-demo").iterdir()) == ["a-none-found.jpg", "b-two-found.jpg"]
    drawn, plain = (cv2.imread(str(file)) for file in ("darknet-py-demo/b-two-found.jpg", shipped_pictures()[1]))
    changed = cv2.absdiff(drawn, plain).max(axis=2) > 64
    assert changed[60:, 30:66].any()  # around the cell at column 1, row 2
    assert not changed[:40, :60].any()  # where nothing is, and no label belongs


def test_demo_replaces_its_own_pictures_and_nothing_else(installed):
    out = installed.folder / "a" / "b"
    out.mkdir(parents=True)
    (out / "b-two.jpg").write_text("somebody's")
    (out / "b-two-found.jpg").write_text("of an earlier demo")
    for option in ("--output", "--out"):
        assert run("demo", option, out).exit_code == 0
    assert (out / "b-two.jpg").read_text() == "somebody's"
    assert cv2.imread(str(out / "b-two-found.jpg")).shape == (96, 128, 3)
    assert len(list(out.iterdir())) == 3


@pytest.mark.parametrize(
    ("output", "said"),
    [(os.devnull, "--output"), ("site/darknet_py/data/pictures", "the pictures themselves are there")],
)
def test_demo_with_a_wrong_folder_exits_with_2(installed, output, said):
    result = run("demo", "--output", output)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(shipped_pictures()) == 2


def test_demo_that_cannot_write_a_picture_exits_with_2(installed):
    Path("darknet-py-demo/a-none-found.jpg").mkdir(parents=True)
    result = run("demo")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a-none-found.jpg: cannot be written" in error_lines(result)[0]


def test_demo_without_its_pictures_or_its_weights_exits_with_1(installed):
    installed.weights.unlink()
    assert run("demo").exit_code == 1
    for picture in shipped_pictures():
        picture.unlink()
    result = run("demo")
    assert (result.exit_code, len(error_lines(result))) == (1, 1)
    assert "install darknet-py again" in result.stderr


# As it ships --------------------------------------------------------------------------------------------------


def test_demo_of_the_real_model(built_in, tmp_path):
    result = run("demo", "--output", tmp_path)
    assert result.exit_code == 0
    assert len(list(tmp_path.iterdir())) == len(shipped_pictures()) > 0
    found = set(re.findall(r"(\w+) \d+%", result.stdout))
    assert found == {"qr", "barcode", "datamatrix", "aruco"}
    assert Detector().graph.file == str(built_in)


def test_demo_names_one_kind_of_each_code(built_in, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("darknet_py.cli.demo.annotate", lambda pixels, found, **options: shown.append(found) or pixels)
    assert run("demo", "--output", tmp_path).exit_code == 0
    assert len(shown) == len(shipped_pictures())
    for found in shown:
        centres = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2
        for a, b in combinations(range(len(found)), 2):
            # No code of these pictures is smaller than 30 pixels.
            assert found.class_id[a] == found.class_id[b] or abs(centres[a] - centres[b]).max() > 15
