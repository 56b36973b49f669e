"""Write the tables of weights/README.md from the registry of models.

Usage: ``python benchmarks/weights_readme.py [--check]``

Replaces what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; with ``--check``, fails if the file says
anything else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from blocks import has_block, with_block

from darknet_py.models.model_files import model_state
from darknet_py.models.registry import MODELS, Address, KnownModel

_FILE = Path(__file__).parents[1] / "weights" / "README.md"


def render(text: str) -> str:
    """The README's text with its tables made anew."""
    living = [model for model in MODELS.values() if any(not address.note for address in model.weights.addresses)]
    others = [model for model in MODELS.values() if model not in living]
    for name, models in (("models", living), ("others", others)):
        if not has_block(text, name):
            sys.exit(f"{_FILE.name}: no block named {name}")
        text = with_block(text, name, _table(models))
    return text


def _table(models: Sequence[KnownModel]) -> str:
    lines = ["| name | bytes | AP50 / AP | SHA-256 | addresses, in the order tried |", "|---|---|---|---|---|"]
    for model in models:
        cells = (f"`{model.name}`", _bytes(model), _accuracy(model), _digests(model), _addresses(model))
        lines.append(f"| {' | '.join(cells)} |")
    sources = dict.fromkeys(model.accuracy.source for model in models if model.accuracy is not None)
    if sources:
        lines += ["", f"AP50 and AP in percent on COCO at the input given, from the {' and the '.join(sources)}."]
    return "\n".join(lines)


def _bytes(model: KnownModel) -> str:
    size = model_state(model, Path()).bytes
    return "" if size is None else f"{size:,}".replace(",", " ")


def _accuracy(model: KnownModel) -> str:
    found = model.accuracy
    if found is None:
        return ""
    return f"{found.ap50:g}{'' if found.ap is None else f' / {found.ap:g}'} at {found.size}"


def _digests(model: KnownModel) -> str:
    note = f" ({model.weights.digest_note})" if model.weights.digest_note else ""
    return "<br>or ".join(f"`{digest}`" for digest in model.weights.digests) + note or "not known"


def _addresses(model: KnownModel) -> str:
    return "<br>".join(_address(address) for address in model.weights.addresses) or "none is known"


def _address(address: Address) -> str:
    if address.note:
        return f"`{address.url}` ({address.note})"
    return f"<{address.url}>" + (" (only a file of the known digest is taken from it)" if address.untried else "")


def main() -> None:
    """Rewrite or check the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a table is out of date")
    options = parser.parse_args()
    old = _FILE.read_text(encoding="utf-8")
    text = render(old)
    if options.check:
        sys.exit("weights/README.md is out of date: run python benchmarks/weights_readme.py" if text != old else 0)
    _FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
