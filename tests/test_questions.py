"""Pages that answer what people look up: with its words in the title, and with code that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from darknet_py import Detector
from darknet_py.opencv import restore
from darknet_py.shipped import resolve_model, shipped_pictures

PAGES = Path(__file__).parents[1] / "docs" / "questions"

SEARCHES = {
    "module 'cv2.dnn' has no attribute 'readNetFromDarknet'": "readnetfromdarknet",
    "Darknet importer has been removed": "darknet-importer-has-been-removed",
    "<class 'cv2.dnn.DetectionModel'> returned a result with an exception set": "detectionmodel-systemerror",
    "darknet weights to onnx": "darknet-weights-to-onnx",
    "yolov4 cpu python": "yolov4-cpu-python",
    "yolov4-tiny raspberry pi": "yolov4-tiny-raspberry-pi",
    "frigate yolov4 cpu": "frigate-yolov4-cpu",
}


@pytest.mark.parametrize(("search", "page"), SEARCHES.items())
def test_the_words_are_in_the_title(search: str, page: str) -> None:
    title, _, text = (PAGES / f"{page}.md").read_text(encoding="utf-8").partition("\n")
    words = set(re.findall(r"[\w.'-]+", search.lower()))
    assert title.startswith("# ") and words <= set(re.findall(r"[\w.'-]+", title.lower())), words
    assert len(text.split()) > 80
    assert f"({page}.md)" in (PAGES / "index.md").read_text(encoding="utf-8")


def test_opencvs_messages_are_quoted_word_for_word() -> None:
    migration = " ".join((PAGES.parent / "migration.md").read_text(encoding="utf-8").split())
    for page in ("readnetfromdarknet", "detectionmodel-systemerror"):
        text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
        (message,) = re.findall(r"^> `(.*)`$", text, re.MULTILINE)
        assert message in migration, message


@pytest.mark.parametrize(
    ("text", "count"),
    [("docs/questions/yolov4-cpu-python.md", 6), ("docs/questions/frigate-yolov4-cpu.md", 2), ("README.md", 1)],
)
def test_quoted_times_stand_in_the_table(text: str, count: int) -> None:
    """Of two threads: what is measured anew is quoted anew."""
    table = (PAGES.parent / "speed.md").read_text(encoding="utf-8")
    measured = {round(float(one)) for one in re.findall(r"/ (\d+\.\d)\b", table)}
    prose = " ".join(
        re.sub(r"^\||```.*?```", "", (PAGES.parents[1] / text).read_text(encoding="utf-8"), flags=re.S).split()
    )
    quoted = re.findall(r"(\d+)(?: to (\d+))? ms\b", prose)
    numbers = [int(number) for pair in quoted for number in pair if number]
    assert len(numbers) >= count and set(numbers) <= measured


@pytest.mark.usefixtures("built_in")
@pytest.mark.parametrize("page", sorted(SEARCHES.values()))
def test_its_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Detector, "from_name", lambda name: Detector())
    for file in resolve_model():
        Path(f"yolov4{file.suffix}").write_bytes(file.read_bytes())
    Path("dog.jpg").write_bytes(shipped_pictures()[0].read_bytes())
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    if "onnx" in page:
        pytest.importorskip("onnx")
    if "import darknet_py.opencv" in text:
        pytest.importorskip("cv2")
    names: dict[str, Any] = {}
    try:
        for code in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            exec(code, names)
    finally:
        restore()
    if page == "yolov4-cpu-python":
        assert len(names["found"])
    if "onnx" in page:
        assert Path("yolov4.onnx").stat().st_size > 1_000_000
