"""What each kind of output holds: tables, labels, crops, COCO's results and Darknet's array."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from records import FOUND, NAMES, NOTHING, RUN, SETTINGS, detections, write

from darknet_py.coco_names import NEWER_NAMES
from darknet_py.errors import ImageError, OptionError
from darknet_py.files import WholeFile
from darknet_py.outputs import Record, Run
from darknet_py.outputs.arrays import CocoResults, DarknetJson
from darknet_py.outputs.coco_ids import COCO_CATEGORIES, CocoIds, plain_ids, read_ids
from darknet_py.outputs.crops import Crops
from darknet_py.outputs.csv_files import CountsCsv, DetectionsCsv
from darknet_py.outputs.folders import clear_leftovers, folder_name
from darknet_py.outputs.yolo_labels import Labels
from darknet_py.pictures.load import load_image
from darknet_py.shipped import shipped

PHOTO = Record("a/photo.jpg", 1, FOUND, stem="photo")
FAILED = Record.failed("b.jpg", 2, ImageError("not an image"), stem="b")
EMPTY = Record('c, "d".jpg', 3, NOTHING, stem="c")
FRAME = Record("v.mp4", 4, FOUND, frame=7, time=0.2, stem="v")
ALL = (PHOTO, FAILED, EMPTY, FRAME)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Tables -------------------------------------------------------------------------------------------------------


def test_a_row_per_detection(tmp_path: Path) -> None:
    write(DetectionsCsv(tmp_path / "a.csv"), *ALL)
    table = rows(tmp_path / "a.csv")
    assert [row["class_name"] for row in table] == ["dog", "cat", "dog"] * 2
    first = {"name": "a/photo.jpg", "index": "1", "frame": "", "time": "", "width": "64", "height": "48"}
    assert first.items() <= table[0].items() and {"frame": "7", "time": "0.2"}.items() <= table[3].items()
    corners = [[float(row[side]) for side in ("left", "top", "right", "bottom")] for row in table[:3]]
    assert np.array_equal(np.array(corners, np.float32), FOUND.xyxy)
    assert [np.float32(row["confidence"]) for row in table[:3]] == FOUND.confidence.tolist()


@pytest.mark.parametrize("kind", [DetectionsCsv, CountsCsv])
def test_tables_have_a_head_without_rows(tmp_path: Path, kind: type[DetectionsCsv]) -> None:
    write(kind(tmp_path / "a.csv"), FAILED)
    (line,) = (tmp_path / "a.csv").read_text().splitlines()
    assert line.startswith("name,index,frame,time,")


def test_numbers_that_are_not_finite_are_no_text(tmp_path: Path) -> None:
    write(DetectionsCsv(tmp_path / "a.csv"), Record("a", 1, detections((0, 0.5, (np.nan, 1, 2, 3)))))
    assert rows(tmp_path / "a.csv")[0]["left"] == ""


def test_counts_have_a_column_per_class(tmp_path: Path) -> None:
    write(CountsCsv(tmp_path / "a.csv"), *ALL)
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "name,index,frame,time,cat,dog,owl",
        "a/photo.jpg,1,,,1,2,0",
        '"c, ""d"".jpg",3,,,0,0,0',
        "v.mp4,4,7,0.2,1,2,0",
    ]


def test_counts_of_the_classes_that_were_asked_for(tmp_path: Path) -> None:
    run = replace(RUN, settings={**SETTINGS, "classes": ["dog"]})
    write(CountsCsv(tmp_path / "a.csv"), PHOTO, run=run)
    assert (tmp_path / "a.csv").read_text() == "name,index,frame,time,dog\na/photo.jpg,1,,,2\n"


# Labels and crops ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [False, True])
def test_labels(tmp_path: Path, confidence: bool) -> None:
    folder = tmp_path / "new" / "labels"
    write(Labels(folder, confidence=confidence), *ALL)
    assert {path.name for path in folder.iterdir()} == {"photo.txt", "c.txt", "v_7.txt"}
    assert (folder / "c.txt").read_text() == ""
    assert (folder / "photo.txt").read_text() == FOUND.to_yolo_txt(confidence=confidence)
    assert {len(line.split()) for line in (folder / "v_7.txt").read_text().splitlines()} == {6 if confidence else 5}


def test_a_folder_that_cannot_be_made_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for kind in (Labels, Crops):
        with pytest.raises(OptionError, match="cannot be written"), kind(tmp_path / "file" / "labels"):
            pytest.fail("the work began")


def test_crops_are_what_the_boxes_hold(tmp_path: Path) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[10:12, 10:14] = (250, 20, 30)  # the surest dog
    pixels[:, :10] = 128
    write(Crops(tmp_path), replace(PHOTO, pixels=pixels), replace(FRAME, pixels=pixels), FAILED, PHOTO)
    files = sorted(str(path.relative_to(tmp_path)).replace("\\", "/") for path in tmp_path.rglob("*.jpg"))
    assert files == [f"{name}/{stem}.jpg" for name, stem in [
        ("cat", "photo"), ("cat", "v_7"), ("dog", "photo.2"), ("dog", "photo"), ("dog", "v_7.2"), ("dog", "v_7"),
    ]]  # fmt: skip
    best = load_image(tmp_path / "dog" / "photo.jpg").astype(int)
    assert best.shape == (2, 4, 3) and abs(best - (250, 20, 30)).max() < 12
    assert load_image(tmp_path / "cat" / "photo.jpg").shape == (38, 21, 3)  # cut at the border
    assert load_image(tmp_path / "dog" / "photo.2.jpg").shape == (38, 29, 3)


def test_boxes_without_pixels_have_no_crop(tmp_path: Path) -> None:
    found = detections((0, 0.5, (70, 1, 80, 9)), (0, 0.6, (np.nan, 1, 2, 3)), (0, 0.7, (5, 5, 5, 9)))
    write(Crops(tmp_path), Record("a", 1, found, stem="a", pixels=np.zeros((48, 64), np.uint8)))
    assert not list(tmp_path.rglob("*.jpg"))


def test_no_two_crops_have_one_name(tmp_path: Path) -> None:
    found = detections((0, 0.5, (0, 0, 9, 9)), (0, 0.6, (1, 1, 9, 9)))
    pixels = np.zeros((48, 64, 3), np.uint8)
    write(Crops(tmp_path), *(Record(stem, 1, found, stem=stem, pixels=pixels) for stem in ("a", "a.2", "a.2.2")))
    assert len(list(tmp_path.rglob("*.jpg"))) == 6


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("traffic light", "traffic light"), ("a/b\\c", "a_b_c"), ("..", "_"), ("", "_"), ("con", "_con"),
        ("Katze ü", "Katze ü"), ("x\0y\n", "x_y_"), ("é" * 200, "é" * 50), ("dots...", "dots"), ("*?", "__"),
    ],
)  # fmt: skip
def test_class_names_as_folders(text: str, name: str) -> None:
    assert folder_name(text) == name


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    names = [".a.json-0123abcd.tmp", ".b.json-0123abcd.tmp", ".a.json-0123abc.tmp", "a.json", ".a.json.tmp"]
    for name in names:
        (tmp_path / name).write_text("")
    clear_leftovers(tmp_path, "a.json")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
    clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])
    clear_leftovers(tmp_path / "none")
    file = WholeFile(tmp_path / ("x" * 60)).open()
    clear_leftovers(tmp_path, "x" * 60)
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])
    file.discard()


# Arrays -------------------------------------------------------------------------------------------------------


def test_darknets_array_has_what_was_done(tmp_path: Path) -> None:
    write(DarknetJson(tmp_path / "a.json"), *ALL)
    assert [(one["frame_id"], one["filename"]) for one in json.loads((tmp_path / "a.json").read_text())] == [
        (1, "a/photo.jpg"), (3, 'c, "d".jpg'), (4, "v.mp4"),
    ]  # fmt: skip


def test_coco_results_of_other_classes(tmp_path: Path) -> None:
    write(CocoResults(tmp_path / "a.json"), *ALL)
    results = json.loads((tmp_path / "a.json").read_text())
    assert [(one["image_id"], one["category_id"]) for one in results] == [
        ("photo", 1), ("photo", 0), ("photo", 1), ("v_7", 1), ("v_7", 0), ("v_7", 1),
    ]  # fmt: skip
    assert results[1]["bbox"] == [0, 10, 20.5, 38] and results[1]["score"] == 0.75


def test_coco_results_of_cocos_classes(tmp_path: Path) -> None:
    file = shipped("coco.names")
    assert file is not None
    names = tuple(file.read_text().split("\n")[:80])
    ids = plain_ids(names)
    assert list(ids.categories.values()) == list(COCO_CATEGORIES) and len(COCO_CATEGORIES) == 80
    assert ids.categories[0] == 1 and ids.categories[11] == 13 and ids.categories[79] == 90  # person, stop sign
    modern = [{"motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch"}.get(name, name) for name in names]
    assert plain_ids(modern) == ids and plain_ids(names[:79]).categories[11] == 11
    for name, expected in [("000000000139.jpg", 139), ("COCO_val2014_000000000042.jpg", 42), ("IMG_12.jpg", "IMG_12")]:
        assert ids.image(Record(name, 1, NOTHING)) == expected


def annotations(folder: Path) -> Path:
    file = folder / "instances.json"
    images = [("photo.jpg", 7), ("x/same.jpg", 8), ("y/same.jpg", 9), ("c.jpg", 10)]
    file.write_text(
        json.dumps(
            {
                "images": [{"id": number, "file_name": name} for name, number in images],
                "categories": [{"id": 5, "name": "Dog"}, {"id": 6, "name": "cat"}],
                "annotations": [],
            }
        )
    )
    return file


def test_ids_of_an_annotation_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = [replace(PHOTO, name=name) for name in ("a/photo.jpg", "z/y/same.jpg", "q/same.jpg", "none.jpg", "c.png")]
    write(CocoResults(tmp_path / "a.json", read_ids(annotations(tmp_path))), *records)
    results = json.loads((tmp_path / "a.json").read_text())
    assert [(one["image_id"], one["category_id"]) for one in results] == [
        (7, 5), (7, 6), (7, 5), (9, 5), (9, 6), (9, 5), (10, 5), (10, 6), (10, 5),
    ]  # fmt: skip
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "1 of 3 classes are no category" in said and "owl" in said
    assert "q/same.jpg: 2 pictures of this name" in said and "none.jpg: no picture of this name" in said


def test_darknets_words_for_classes_are_found_in_an_annotation_file(caplog: pytest.LogCaptureFixture) -> None:
    file = shipped("coco.names")
    assert file is not None
    older = file.read_text().split("\n")[:80]
    newer = [NEWER_NAMES.get(name, name) for name in older]
    assert {"motorcycle", "airplane", "tv", "couch", "dining table", "potted plant"} <= {*newer} - {*older}
    expected = dict(enumerate(COCO_CATEGORIES))
    for categories, names in [(newer, older), (older, newer), (newer, newer), (older, older)]:
        by_name = dict(zip(categories, COCO_CATEGORIES, strict=True))
        assert CocoIds(by_name=by_name).of_classes(names).categories == expected
    assert not caplog.records
    both = CocoIds(by_name={"couch": 1, "sofa": 2})
    assert both.of_classes(["Sofa", "couch"]).categories == {0: 2, 1: 1}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": [{}], "categories": []}', '{"images": 3}', None])
def test_what_is_no_annotation_file(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(OptionError, match=r"a\.json: (not an annotation file|cannot be read)"):
        read_ids(tmp_path / "a.json")


def test_results_of_nothing_are_an_empty_array(tmp_path: Path) -> None:
    for kind in (CocoResults, DarknetJson):
        write(kind(tmp_path / "a.json"), FAILED, run=Run(NAMES, {}, {}))
        assert json.loads((tmp_path / "a.json").read_text()) == []
