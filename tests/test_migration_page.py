"""The migration page says what is true: it quotes what OpenCV says, and what it advises works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from darknet_py.opencv import restore
from darknet_py.shipped import resolve_model, shipped_pictures

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "migration.md").read_text()


def test_the_readme_begins_with_it() -> None:
    assert "docs/migration.md" in (ROOT / "README.md").read_text().split("## ")[0]


def test_the_messages_are_opencvs() -> None:
    cv2 = pytest.importorskip("cv2", minversion="5")
    quoted = " ".join(PAGE.split())
    with pytest.raises(AttributeError) as missing:
        _ = cv2.dnn.readNetFromDarknet
    assert f"AttributeError: {missing.value}" in quoted
    with pytest.raises(cv2.error) as removed:
        cv2.dnn.readNet("yolov4.weights", "yolov4.cfg")
    assert str(removed.value).split("error: ")[1].strip() in quoted
    with pytest.raises(SystemError) as failed:
        cv2.dnn_DetectionModel("yolov4.cfg", "yolov4.weights")
    assert f"SystemError: {failed.value}" in quoted


@pytest.mark.usefixtures("built_in")
def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    monkeypatch.chdir(tmp_path)
    for file in resolve_model():
        Path(f"yolov4{file.suffix}").write_bytes(file.read_bytes())
    Path("dog.jpg").write_bytes(shipped_pictures()[0].read_bytes())
    namespace: dict[str, Any] = {}
    try:
        # Another test may have imported the module for its names alone.
        exec(code[1].replace("py.opencv\n", "py.opencv\ndarknet_py.opencv.patch()\n"), namespace)
    finally:
        restore()
    assert [output.shape[1] for output in namespace["outputs"]] == [11, 11, 11]
    assert not hasattr(cv2.dnn, "readNetFromDarknet") or cv2.__version__ < "5"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert target.startswith("http") or (ROOT / "docs" / target).exists(), target
