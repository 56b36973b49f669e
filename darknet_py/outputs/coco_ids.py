"""The numbers that COCO's tools know pictures and categories by."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from darknet_py.coco_names import NEWER_NAMES
from darknet_py.errors import OptionError
from darknet_py.outputs.record import Record
from darknet_py.plaintext import unicode_only

__all__ = ["COCO_CATEGORIES", "CocoIds", "plain_ids", "read_ids"]

_log = logging.getLogger(__name__)

#: COCO numbers its 80 categories up to 90: ten that were planned have no picture.
COCO_CATEGORIES = tuple(sorted({*range(1, 91)} - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}))
#: Enough of COCO's classes to know them by: some are written in several ways (motorbike, motorcycle).
_OF_COCO = {0: "person", 2: "car", 16: "dog", 33: "kite", 67: "cell phone", 79: "toothbrush"}
_PICTURE_OF_COCO = re.compile(r"(?:COCO_\w+_)?(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class CocoIds:
    """What pictures and classes are called in results.

    Attributes
    ----------
    categories : mapping of int to int
        The category of each class; classes that are not among them are in no result.
    by_name : mapping of str to int
        The categories of an annotation file by their names; empty without one.
    images : mapping of str to list of (str, int or str), or None
        The pictures of an annotation file as (file name, id), by the stems of their names; None without one.
    """

    categories: Mapping[int, int] = field(default_factory=dict)
    by_name: Mapping[str, int] = field(default_factory=dict)
    images: Mapping[str, Sequence[tuple[str, int | str]]] | None = None

    def of_classes(self, names: Sequence[str]) -> CocoIds:
        """The same for a model whose classes have these names; those that no category has are told in the log.

        Darknet's words and COCO's newer ones for the same class (sofa, couch) count as one name.
        """
        # A category of just this name goes before one of the other word for it: a file may have both.
        known = {_newer(name): number for name, number in self.by_name.items()}
        known |= {_folded(name): number for name, number in self.by_name.items()}
        found = {}
        for number, name in enumerate(names):
            category = known.get(_folded(name), known.get(_newer(name)))
            if category is not None:
                found[number] = category
        missing = [name for number, name in enumerate(names) if number not in found]
        if missing:
            _log.warning(
                "%d of %d classes are no category of the annotations, and are left out of COCO's results: %s",
                len(missing), len(names), ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else ""),
            )  # fmt: skip
        return replace(self, categories=found)

    def image(self, record: Record) -> int | str | None:
        """The ``image_id`` of a picture or frame; None, told in the log, if the annotation file has it not."""
        stem = PurePath(record.name).stem if record.frame is None else record.file_stem
        if self.images is None:
            number = _PICTURE_OF_COCO.fullmatch(stem)
            return int(number[1]) if number else unicode_only(stem)
        candidates = self.images.get(stem, ())
        path = f"/{PurePath(record.name).as_posix()}"
        exact = [number for name, number in candidates if path.endswith(f"/{name}")]
        chosen = exact or [number for _, number in candidates]
        if len(chosen) == 1:
            return chosen[0]
        _log.warning(
            "%s: %s of this name in the annotations: left out of COCO's results",
            record.name, f"{len(chosen)} pictures" if chosen else "no picture",
        )  # fmt: skip
        return None


def plain_ids(names: Sequence[str]) -> CocoIds:
    """Without an annotation file: COCO's own categories for its 80 classes, else the numbers of the classes."""
    is_coco = len(names) == 80 and all(_folded(names[number]) == _folded(name) for number, name in _OF_COCO.items())
    return CocoIds(dict(enumerate(COCO_CATEGORIES if is_coco else range(len(names)))))


def read_ids(path: str | os.PathLike[str]) -> CocoIds:
    """The ids of an annotation file of COCO's form (``images`` and ``categories``).

    Raises
    ------
    OptionError
        It cannot be read, or is no such file.
    """
    try:
        annotations: Any = json.loads(Path(path).read_bytes())
        images: dict[str, list[tuple[str, int | str]]] = defaultdict(list)
        for image in annotations["images"]:
            name = PurePath(image["file_name"]).as_posix()
            images[PurePath(name).stem].append((name, image["id"]))
        categories = {str(category["name"]): int(category["id"]) for category in annotations["categories"]}
    except OSError as error:
        raise OptionError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise OptionError(
            f"{path}: not an annotation file of COCO ({error}): expected JSON with images (id, file_name) and "
            "categories (id, name)"
        ) from error
    return CocoIds(by_name=categories, images=dict(images))


def _folded(name: str) -> str:
    return "".join(name.casefold().split())


def _newer(name: str) -> str:
    folded = _folded(name)
    return _folded(NEWER_NAMES.get(folded, folded))
