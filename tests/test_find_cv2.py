"""OpenCV as it may be installed, broken or missing: what works all the same, and what says what to install."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Model
from networks import TinyNetwork
from no_cv2 import without_cv2
from PIL import Image

from darknet_py import Detector, UnsupportedError, find_cv2
from darknet_py.image import load_image, to_blob


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("like", ["opencv", "darknet.py"])
def test_resizing_of_others_says_what_to_install(folder: Path, like: str) -> None:
    message = (
        rf"like='{like}' needs OpenCV, .*\(.*cv2.*\): pip install opencv-python .*pip install opencv-python-headless"
    )
    tiny = TinyNetwork((3, 31, 46), seed=1)
    tiny.add("convolutional", {"filters": 7, "size": 3, "pad": 1, "stride": 4, "activation": "linear"})
    tiny.add("yolo", {"classes": 2, "num": 1, "anchors": "9,12", "mask": "0"})
    pixels = noise(31, 46)
    with without_cv2():
        with pytest.raises(UnsupportedError, match=message):
            to_blob(pixels, 20, 30, like=like)
        detector = Detector(*tiny.write(folder), names=["one", "two"], like=like)
        with pytest.raises(UnsupportedError, match=message):
            detector.detect(pixels[1:])
        detector.detect(pixels)  # of the network's size: nothing to resize


def a_package(folder: Path, code: str | None) -> None:
    (folder / "cv2").mkdir()
    if code is not None:
        (folder / "cv2" / "__init__.py").write_text(code)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ('raise ImportError("libGL.so.1: cannot open shared object file: No such file")', r"libGL\.so\.1: cannot open"),
        ('raise AttributeError("_ARRAY_API not found")', "_ARRAY_API not found"),
        ("", "there but empty"),
        (None, "there but empty"),
    ],
)
def test_broken_installations(
    code: str | None,
    cause: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    a_package(tmp_path, code)
    monkeypatch.syspath_prepend(tmp_path)
    if code is None:  # without __init__.py, a package further down the path would come first
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "cv2")
    caplog.set_level(logging.INFO, "darknet_py")
    find_cv2._import.cache_clear()
    try:
        for _ in range(2):
            assert find_cv2.find_cv2() is None
            with pytest.raises(UnsupportedError, match=rf"^this needs OpenCV, .*{cause}.*headless\)$"):
                find_cv2.need_cv2("this")
        picture = io.BytesIO()
        Image.fromarray(noise(5, 7)).save(picture, "PNG")
        np.testing.assert_array_equal(load_image(picture.getvalue()), noise(5, 7))
    finally:
        monkeypatch.undo()
        find_cv2._import.cache_clear()
    assert len(caplog.records) == 1 and cause.split(":")[0].replace("\\", "") in caplog.text
    assert find_cv2.find_cv2() is cv2


# ---------------------------------------------------------------------------------------- a process without cv2

#: In a process of its own, as modules that this one has imported would keep their cv2. Prints what was left to find.
_BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

sys.meta_path.insert(0, Blocker())
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_public_names_without_cv2() -> None:
    names = "import darknet_py; print(*(getattr(darknet_py, name) is not None for name in darknet_py.__all__))"
    done = run(_BLOCKED + names)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"True"}


def test_commands_without_cv2(tmp_path: Path) -> None:
    model = Model(tmp_path)
    pictures = [model.picture(f"scene.{end}", (1, 1)) for end in ("jpg", "png", "bmp", "gif", "webp", "tiff")]
    command = _BLOCKED + "from darknet_py.cli.main import main; main()"
    options = ["--cfg", model.cfg, "--weights", model.weights]
    done = run(command, "detect", *options, "--out", tmp_path / "drawn", "--json", tmp_path / "found.json", *pictures)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "found.json").read_text())
    assert [[thing["name"] for thing in frame["objects"]] for frame in found] == [["dog"]] * len(pictures)
    assert len(list((tmp_path / "drawn").iterdir())) == len(pictures)

    done = run(command, "detect", *options, "--like", "opencv", *pictures)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(r"Error: --like opencv needs OpenCV, .*libGL\.so\.1.*pip install [^\n]*\n", done.stderr)


def test_cv2_is_not_imported_before_it_is_needed(tmp_path: Path) -> None:
    model = Model(tmp_path)
    model.picture("scene.jpg", (1, 1))
    code = """
import io, sys
import numpy as np
from PIL import Image
from darknet_py import Detector
cfg, weights, picture = sys.argv[1:]
detector = Detector(cfg, weights)
found = [detector.detect(Image.open(picture)), detector.detect(np.asarray(Image.open(picture)))]
print("cv2" in sys.modules)
found.append(detector.detect(picture))
print("cv2" in sys.modules)
assert all(list(one.class_names) == ["dog"] for one in found), found
"""
    done = run(code, model.cfg, model.weights, tmp_path / "scene.jpg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "False"]
