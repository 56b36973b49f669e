"""``darknet-py evaluate`` and ``anchors`` as a user calls them: kinds of data, figures, resuming, what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from command_line import Model, error_lines, run

from darknet_py.evaluation.plots import confusion_matrix
from darknet_py.evaluation.truths import Found, Truth

CAT, DOG, OWL = range(3)


class Labelled:
    """Pictures of 128x96 with dogs of 32x32, and labels that are not all right, as a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "model").mkdir()
        self.model, self.folder = Model(folder / "model"), folder / "data"
        (self.folder / "images").mkdir(parents=True)
        (self.folder / "labels").mkdir()
        self.add("a.png", [(0, 0), (2, 1)], [(DOG, 0, 0), (DOG, 2, 1)])
        self.add("b.png", [(1, 1)], [(DOG, 3, 2)])  # one wrong, one missed
        self.add("c.png", [(3, 0)], [(DOG, 3, 0), (CAT, 1, 2)])
        self.add("d.png", [], [])

    def add(self, name: str, cells: Sequence[tuple[int, int]], labels: Sequence[tuple[int, int, int]]) -> None:
        self.model.picture(str(self.folder / "images" / name), *cells)
        rows = [f"{k} {(32 * x + 16) / 128} {(32 * y + 16) / 96} 0.25 {1 / 3}" for k, x, y in labels]
        (self.folder / "labels" / name).with_suffix(".txt").write_text("\n".join(rows))

    def evaluate(self, *arguments: object) -> Result:
        return run("evaluate", "--cfg", self.model.cfg, "--weights", self.model.weights, *arguments)

    def figures(self, *arguments: object) -> dict[str, Any]:
        result = self.evaluate("--json", self.folder.parent / "figures.json", *arguments)
        assert result.exit_code == 0, result.stderr
        return json.loads((self.folder.parent / "figures.json").read_text())  # type: ignore[no-any-return]

    def as_data(self) -> Path:
        listed = self.folder.parent / "valid.txt"
        listed.write_text("".join(f"{path}\n" for path in sorted((self.folder / "images").iterdir())))
        data = self.folder.parent / "my.data"
        data.write_text(
            f"# mine\nclasses = 3\ntrain = valid.txt\nvalid = valid.txt\nnames = {self.names('cat dog owl')}\n"
        )
        return data

    def names(self, text: str) -> Path:
        path = self.folder.parent / "my.names"
        path.write_text("\n".join(text.split()) + "\n")
        return path

    def as_coco(self, **changes: Any) -> Path:
        """The same annotations, whose classes have other numbers."""
        number = {CAT: 30, DOG: 7, OWL: 11}
        images, annotations = [], []
        for i, path in enumerate(sorted((self.folder / "images").iterdir())):
            images.append({"id": 10 + i, "file_name": path.name, "width": 128, "height": 96})
            for line in (self.folder / "labels" / f"{path.stem}.txt").read_text().splitlines():
                k, cx, cy, w, h = (float(field) for field in line.split())
                box = [(cx - w / 2) * 128, (cy - h / 2) * 96, w * 128, h * 96]
                one = {"id": len(annotations) + 1, "image_id": 10 + i, "category_id": number[int(k)], "bbox": box}
                annotations.append({**one, "area": box[2] * box[3], "iscrowd": 0})
        categories = [{"id": number[k], "name": name} for k, name in enumerate(["cat", "dog", "owl"])]
        file = self.folder / "annotations.json"
        file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories} | changes))
        return file


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    return Labelled(tmp_path)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_it_says(labelled: Labelled) -> None:
    result = labelled.evaluate(labelled.folder)
    assert result.exit_code == 0 and not error_lines(result)
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["dog"][:6] == ["4", "3", "1", "0.750", "0.750", "0.750"]
    assert rows["cat"][:6] == ["1", "0", "0", "0.000", "0.000", "0.000"]
    assert "owl" not in rows  # neither there nor found
    assert rows["all"][:3] == ["5", "3", "1"]
    why = result.stdout.splitlines()[-1]
    assert (
        why.startswith("Why the two differ: Darknet's mAP@0.50 ") and "the 1 of 3 classes that have no objects" in why
    )


def test_the_figures_are_the_same_of_every_kind_of_data(labelled: Labelled) -> None:
    of_folder = labelled.figures(labelled.folder)
    assert (of_folder["pictures"], of_folder["darknet"]["true_positives"]) == (4, 3)
    dog = next(one for one in of_folder["classes"] if one["name"] == "dog")
    assert 0.7 < dog["darknet_ap"] <= 0.75 and of_folder["darknet"]["map"] == pytest.approx(dog["darknet_ap"] / 3)
    assert labelled.figures(labelled.as_data()) == of_folder
    assert labelled.figures(labelled.as_coco()) == of_folder
    elsewhere = labelled.as_coco().rename(labelled.folder.parent / "moved.json")
    assert labelled.figures("--images", labelled.folder / "images", elsewhere) == of_folder
    at_11 = labelled.figures("--points", 11, "--iou", 0.9, labelled.folder)["darknet"]
    assert (at_11["points"], at_11["iou"]) == (11, 0.9)


def test_classes_are_matched_by_name(labelled: Labelled) -> None:
    data = labelled.as_data()
    labelled.names("horse dog owl")
    result = labelled.evaluate(data)
    assert result.exit_code == 0 and "the model does not know 1 classes of the labels" in result.stderr
    assert "horse" in result.stderr and "cat" not in result.stdout
    labelled.add("e.png", [], [(7, 0, 0)])
    result = labelled.evaluate(labelled.folder)
    assert "labels of classes beyond 2, which have no name, do not count: 7" in result.stderr


def test_resuming_gives_the_figures_of_a_run_without_a_stop(labelled: Labelled, tmp_path: Path) -> None:
    whole = labelled.figures("--detections", "whole.jsonl", "--resume", labelled.folder)
    lines = Path("whole.jsonl").read_bytes().splitlines(keepends=True)
    Path("torn.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:50])
    assert labelled.figures("--detections", "torn.jsonl", "--resume", labelled.folder) == whole
    names = [json.loads(line)["name"] for line in Path("torn.jsonl").read_text().splitlines()]
    assert sorted(Path(name).name for name in names) == ["a.png", "b.png", "c.png", "d.png"]
    result = labelled.evaluate("--detections", "torn.jsonl", "--resume", "--thresh", "0.1", labelled.folder)
    assert (result.exit_code, len(error_lines(result))) == (2, 1) and "made with thresh 0.005" in result.stderr


def test_pictures_that_cannot_be_read_do_not_stop_it(labelled: Labelled) -> None:
    (labelled.folder / "images" / "bad.jpg").write_bytes(b"no picture")
    (labelled.folder / "labels" / "d.txt").write_text("1 200 100 20 20\n")
    result = labelled.evaluate(labelled.folder)
    assert (result.exit_code, len(error_lines(result))) == (1, 2)
    assert "bad.jpg" in result.stderr and "are these pixels?" in result.stderr
    assert "all" in result.stdout


def test_nothing_can_be_read(labelled: Labelled) -> None:
    for path in (labelled.folder / "images").iterdir():
        path.write_bytes(b"no picture")
    result = labelled.evaluate(labelled.folder)
    assert (result.exit_code, result.stdout) == (1, "")


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ["--resume"]),
        (2, ["--iou", "nan"]),
        (2, ["--confidence", "2"]),
        (2, ["--points", "7"]),
        (2, ["--size", "33"]),
        (2, ["--json", "no/such/folder.json"]),
        (2, ["--plots", "file/plots"]),
        (1, ["--names", "missing.names"]),
    ],
)
def test_wrong_usage_has_one_line(labelled: Labelled, code: int, arguments: list[str]) -> None:
    Path("file").write_text("")
    result = labelled.evaluate(*arguments, labelled.folder)
    assert (result.exit_code, len(error_lines(result)), result.stdout) == (code, 1, "")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("my.data", "valid.txt\n", "expected key = value such as 'valid = valid.txt'"),
        ("my.data", "train = a.txt\n", "no valid="),
        ("my.data", "valid = missing.txt\n", "my.data: valid=missing.txt is not there"),
        ("my.data", "valid = my.data\ndifficult = other.txt\n", "1 pictures in difficult=, expected 2"),
        ("my.json", "{", "not COCO's annotations"),
        ("my.json", '{"images": [], "annotations": [], "categories": []}', "no images"),
        ("my.json", '{"images": [{"id": 1}], "annotations": [], "categories": []}', "not COCO's annotations"),
        (
            "my.json",
            '{"images": [{"id": 1}], "annotations": [{"image_id": 7}], "categories": []}',
            "an annotation has image_id=7, which is none of its images",
        ),
    ],
)
def test_data_that_is_none(labelled: Labelled, name: str, text: str, said: str) -> None:
    Path(name).write_text(text)
    Path("other.txt").write_text("a.png\n")
    result = labelled.evaluate(name)
    assert (result.exit_code, len(error_lines(result))) == (1, 1) and said in error_lines(result)[0]


@pytest.mark.slow
def test_plots(labelled: Labelled) -> None:
    pytest.importorskip("matplotlib")
    assert labelled.evaluate("--plots", "plots", labelled.folder).exit_code == 0
    drawn = {path.name: path.read_text() for path in Path("plots").iterdir()}
    assert sorted(drawn) == ["confusion.svg", "precision-recall.svg"]
    assert all(text.rstrip().endswith("</svg>") for text in drawn.values())
    result = labelled.evaluate("--plots", "plots", "--plot-format", "png", labelled.folder)
    assert result.exit_code == 0 and Path("plots/confusion.png").read_bytes().startswith(b"\x89PNG")


def test_confusion_matrix_pairs_those_that_overlap_most() -> None:
    truth = Truth([CAT, DOG, OWL], [[0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10]], crowd=[False, False, True])
    boxes = [[0, 0, 10, 9], [0, 0, 10, 10], [40, 0, 10, 10], [20, 0, 10, 10]]
    matrix = confusion_matrix([Found([CAT, DOG, OWL, DOG], [0.9, 0.5, 0.5, 0.2], boxes)], [truth], 3)
    expected = np.zeros((4, 4), int)
    expected[CAT, DOG] = 1  # overlaps more than the cat that was found, which is left with nothing
    expected[3, CAT] = expected[3, OWL] = expected[DOG, 3] = 1
    assert matrix.tolist() == expected.tolist()


def test_anchors(labelled: Labelled) -> None:
    for n, (width, height) in enumerate([(0.1, 0.1), (0.1, 0.1), (0.5, 0.25)]):
        (labelled.folder / "labels" / f"{'abc'[n]}.txt").write_text(f"{n} 0.5 0.5 {width} {height}\n")
    result = run("anchors", "--clusters", 2, "--size", "640x320", labelled.folder)
    assert result.stdout.splitlines() == [
        "anchors = 64,32, 320,80",
        "counters_per_class = 1, 1, 1",
        "average IoU of 3 boxes: 100.00%",
    ]
    assert run("anchors", "--clusters", 2, "--size", "640x320", labelled.as_data()).stdout == result.stdout
    for arguments in (["--clusters", 3], ["--clusters", 0], ["--size", 0]):
        result = run("anchors", *arguments, labelled.folder)
        assert (result.exit_code, len(error_lines(result))) == (2, 1)
    result = run("anchors", labelled.as_coco())
    assert (result.exit_code, len(error_lines(result))) == (2, 1)
    for path in (labelled.folder / "labels").iterdir():
        path.unlink()
    result = run("anchors", labelled.folder)
    assert (result.exit_code, len(error_lines(result))) == (1, 1) and "no labels" in result.stderr
