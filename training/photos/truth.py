"""Truth for real photographs of codes: ``python -m training.photos.truth FOLDER TRUTH.json``.

FOLDER has what two public sets ship for their tests, exported outside this checkout: ``zxing/`` with zxing/zxing's
``core/src/test/resources/blackbox`` (a text beside each picture) and ``jsqr/`` with cozmo/jsQR's ``tests/end-to-end``
(``input.png`` and ``output.json``). They are for validation; no picture of them may be trained on.

No set says where its codes are. A code counts if what is read at a place, in two of several ways of looking at the
picture (turned, enlarged), agrees with itself and with the text beside the picture; a picture in which anything else
was read, or nothing though it has a text, says nothing about false boxes and is left out of the average precision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from training.photos.bars import whole_bars
from training.photos.reads import agreed, reads

__all__ = ["main", "truth_of"]

#: Greys of a picture that a program drew are few; a photograph has all of them.
_FEW_GREYS = 40
#: A code that lies in another one by so much is a part of it that was taken for a code.
_PART = 0.8


def truth_of(path: Path, text: str | None) -> dict[str, Any]:
    """What is certain of a picture, as plain values; `text` is what stands beside it."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        return {"picture": str(path), "error": "cannot be read"}
    found, all_of_them = agreed(list(reads(grey)), text)
    codes = []
    for code in found:
        quad = whole_bars(grey, code.quad) if code.kind == "barcode" and "Stacked" not in code.symbology else code.quad
        low, high = quad.min(axis=0).clip(0), np.minimum(quad.max(axis=0), (grey.shape[1], grey.shape[0]))
        codes.append(
            {
                "kind": code.kind,
                "symbology": code.symbology,
                "text": code.text,
                "xyxy": np.concatenate([low, high]).round(1).tolist(),
                "quad": quad.round(1).tolist(),
            }
        )
    codes = [one for one in codes if not any(_is_part(one["xyxy"], other["xyxy"]) for other in codes)]
    return {
        "picture": str(path),
        "width": grey.shape[1],
        "height": grey.shape[0],
        "photograph": len(np.unique(grey)) >= _FEW_GREYS,
        "text": text,
        "codes": codes,
        "whole": all_of_them and (text is None or bool(codes)),
    }


def _is_part(box: Sequence[float], other: Sequence[float]) -> bool:
    """Whether a box lies in a larger one for the most part: half an EAN-13 can be read as a UPC-E."""
    a, b = np.array(box), np.array(other)
    common = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    area, others = np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])
    return bool(common > _PART * area and area < others)


def _pictures(folder: Path) -> list[tuple[Path, str | None]]:
    found: list[tuple[Path, str | None]] = []
    for path in sorted([*folder.glob("zxing/*/*.png"), *folder.glob("zxing/*/*.jpg")]):
        text = _beside(path)
        found.append((path, whole_number(text) if text and path.parent.name.startswith("upce-") else text))
    for path in sorted(folder.glob("jsqr/*/input.png")):
        said = json.loads(path.with_name("output.json").read_text("utf-8"))
        text = said.get("data") if isinstance(said, dict) else None
        found.append((path, text or None))
    return found


def _beside(path: Path) -> str | None:
    """What a picture says by the file of its name: text, or bytes, each a sign as zxing-cpp has them."""
    for suffix, encoding in ((".txt", "utf-8"), (".bin", "latin-1")):
        if path.with_suffix(suffix).is_file():
            return path.with_suffix(suffix).read_bytes().decode(encoding, "replace")
    return None


def whole_number(upc_e: str) -> str:
    """The UPC-A that a UPC-E of eight digits is short for, as zxing-cpp tells it."""
    system, digits, check = upc_e[0], upc_e[1:7], upc_e[7:8]
    last = digits[5:]
    if last in "012":
        body = f"{digits[:2]}{last}0000{digits[2:5]}"
    elif last in "34":
        kept = int(last)
        body = digits[:kept] + "00000" + digits[kept:5]
    else:
        body = f"{digits[:5]}0000{last}"
    return system + body + check


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
def main(folder: Path, out: Path, workers: int) -> None:
    """Write what is certain of the pictures in FOLDER to OUT."""
    pictures = _pictures(folder)
    if not pictures:
        raise click.ClickException(f"{folder}: expected zxing/SET/*.png or jsqr/NAME/input.png in it")
    with ProcessPoolExecutor(workers) as pool:
        truths = list(pool.map(truth_of, *zip(*pictures, strict=True), chunksize=8))
    for one in truths:
        one["picture"] = str(Path(one["picture"]).relative_to(folder))
    out.write_text(json.dumps(truths, indent=0, ensure_ascii=False) + "\n", "utf-8")
    usable = [one for one in truths if one.get("whole")]
    kinds = [code["kind"] for one in usable for code in one["codes"]]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    click.echo(f"{len(usable)} of {len(truths)} pictures are certain, with {counts}")


if __name__ == "__main__":
    main()
