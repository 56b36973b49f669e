"""Labelled pictures: a folder, a Darknet data file, or COCO's annotations, each as pictures with their truth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from darknet_py.errors import CfgError
from darknet_py.evaluation.label_files import label_path, read_labels, read_lines
from darknet_py.evaluation.truths import Truth
from darknet_py.names import load_names

__all__ = ["Dataset", "Labelled", "match_classes", "open_dataset"]

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}

#: Names that differ between Darknet's coco.names and COCO's own categories.
_SYNONYMS = {"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tvmonitor": "tv"}


class Labelled(NamedTuple):
    """A picture, and what gives its truth once its width and height are known."""

    path: Path
    truth: Callable[[int, int], Truth]


@dataclass(frozen=True)
class Dataset:
    """Labelled pictures, and the names of the classes of their labels; None if these are the model's."""

    pictures: tuple[Labelled, ...]
    names: tuple[str, ...] | None


def open_dataset(path: Path, *, images: Path | None = None, split: str = "valid") -> Dataset:
    """The pictures of a folder, of the list `split` of a ``.data`` file, or of COCO's ``.json`` with its `images`.

    Raises
    ------
    CfgError
        It cannot be read, or names no pictures.
    """
    if path.is_dir():
        return _of_folder(path)
    return _of_coco(path, images) if path.suffix.lower() == ".json" else _of_data(path, split)


def match_classes(names: Sequence[str] | None, model: Sequence[str]) -> tuple[dict[int, int], list[str]]:
    """Class of the labels → class of the model, by name; and the names that the model does not know."""
    if names is None or tuple(names) == tuple(model):
        return {k: k for k in range(len(model))}, []
    known = {_plain(name): k for k, name in reversed(list(enumerate(model)))}
    found = {k: known[_plain(name)] for k, name in enumerate(names) if _plain(name) in known}
    return found, [name for k, name in enumerate(names) if k not in found]


def _plain(name: str) -> str:
    plain = re.sub(r"[\s_-]", "", name.casefold())
    return _SYNONYMS.get(plain, plain)


def _labelled(picture: Path, difficult: Path | None = None) -> Labelled:
    def truth(width: int, height: int) -> Truth:
        parts = [read_labels(label_path(picture))]
        if difficult is not None:
            parts.append(read_labels(label_path(difficult)))
        boxes = np.concatenate([part[1] for part in parts]) * (width, height, width, height)
        boxes[:, :2] -= boxes[:, 2:] / 2
        hard = np.repeat([False, True][: len(parts)], [len(part[0]) for part in parts])
        return Truth(np.concatenate([part[0] for part in parts]), boxes, difficult=hard)

    return Labelled(picture, truth)


def _of_folder(folder: Path) -> Dataset:
    root = folder / "images" if (folder / "images").is_dir() else folder
    pictures = sorted(path for path in root.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not pictures:
        raise CfgError(f"{root}: no pictures, expected images/ with pictures and labels/ with a .txt for each")
    listed = [*sorted(folder.glob("*.names")), *(file for file in [folder / "classes.txt"] if file.is_file())]
    return Dataset(tuple(map(_labelled, pictures)), load_names(listed[0]) if listed else None)


def _of_data(path: Path, split: str) -> Dataset:
    values: dict[str, str] = {}
    for number, line in read_lines(path):
        if line.startswith(("#", ";")):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise CfgError(f"{path}:{number}: {line[:80]!r}, expected key = value such as '{split} = {split}.txt'")
        values.setdefault(key.strip(), value.strip())
    if not values.get(split):
        raise CfgError(f"{path}: no {split}=, expected a line such as '{split} = {split}.txt'")
    listed = _list(path, split, values[split])
    difficult = values.get("difficult")
    hard: Sequence[Path | None] = _list(path, "difficult", difficult) if difficult else [None] * len(listed)
    if len(hard) != len(listed):
        raise CfgError(f"{path}: {len(hard)} pictures in difficult=, expected {len(listed)} as in {split}=")
    names = load_names(_found(values["names"], path)) if values.get("names") else None
    return Dataset(tuple(_labelled(*pair) for pair in zip(listed, hard, strict=True)), names)


def _list(data: Path, key: str, value: str) -> list[Path]:
    file = _found(value, data)
    if not file.exists():
        raise CfgError(f"{data}: {key}={value} is not there ({file}), expected a list of pictures, one per line")
    pictures = [_found(line, file, data) for _, line in read_lines(file)]
    if not pictures:
        raise CfgError(f"{file}: the list is empty, expected paths of pictures, one per line")
    return pictures


def _found(value: str, *named_in: Path) -> Path:
    """A path relative to the file that names it, to the folder above that, or, as Darknet has it, to where it runs."""
    bases = [base for file in named_in for base in (file.parent, file.parent.parent)]
    return next((base / value for base in [*bases, Path()] if (base / value).exists()), bases[0] / value)


class _NotListed(ValueError):
    """An annotation is of something that its file does not have."""


def _of_coco(path: Path, images: Path | None) -> Dataset:
    try:
        content = json.loads(path.read_bytes())
        categories = sorted(content["categories"], key=lambda one: one["id"])
        index = {one["id"]: k for k, one in enumerate(categories)}
        by_image: dict[Any, list[dict[str, Any]]] = {one["id"]: [] for one in content["images"]}
        for one in content["annotations"]:
            for key, known, what in (("image_id", by_image, "images"), ("category_id", index, "categories")):
                if one[key] not in known:
                    raise _NotListed(f"an annotation has {key}={one[key]!r:.40}, which is none of its {what}")
            by_image[one["image_id"]].append({"class": index[one["category_id"]], **one})
            [float(side) for side in one["bbox"]]
        folder = images or _images_beside(path, content["images"])
        pictures = [Labelled(folder / one["file_name"], _coco_truth(by_image[one["id"]])) for one in content["images"]]
        names = tuple(str(one["name"]) for one in categories)
    except OSError as error:
        raise CfgError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        cause = str(error) if isinstance(error, _NotListed) else f"{type(error).__name__}: {error}"
        raise CfgError(f"{path}: not COCO's annotations of boxes ({cause[:120]}): expected images, annotations with "
                       "bbox, and categories") from error  # fmt: skip
    if not pictures:
        raise CfgError(f"{path}: no images in it, expected those that the annotations are of")
    return Dataset(tuple(pictures), names)


def _images_beside(path: Path, images: Sequence[dict[str, Any]]) -> Path:
    """The folder that has the first picture: named as the annotations are, ``images``, or the file's own."""
    split = path.stem.replace("instances_", "")
    if not images:
        return path.parent
    for base in (path.parent, path.parent.parent):
        for folder in (base / split, base / "images" / split, base / "images", base):
            if (folder / images[0]["file_name"]).is_file():
                return folder
    return path.parent


def _coco_truth(annotations: Sequence[dict[str, Any]]) -> Callable[[int, int], Truth]:
    def truth(width: int, height: int) -> Truth:
        return Truth(
            np.array([one["class"] for one in annotations], np.int64),
            np.array([one["bbox"] for one in annotations], np.float64).reshape(-1, 4),
            crowd=np.array([bool(one.get("iscrowd", 0)) for one in annotations], bool),
            area=np.array([one.get("area", one["bbox"][2] * one["bbox"][3]) for one in annotations], np.float64),
        )

    return truth
