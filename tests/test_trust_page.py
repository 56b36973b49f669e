"""What docs/trust.md says of tests and figures is there."""

from __future__ import annotations

import ast
import json
import os
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "trust.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="no checkout, no page")


def rows_of(heading: str) -> list[list[str]]:
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_kind_has_tests_that_exist() -> None:
    kinds = [(kind, named) for kind, named in rows_of("Kinds of faults") if not kind.startswith("**")]
    assert len(kinds) > 40
    for kind, named in kinds:
        found = re.findall(r"`([^`]*)`", named)
        assert found, kind
        for one in found:
            file, _, name = one.partition("::")
            path = ROOT / file if file.startswith(".ci/") else TESTS / file
            assert path.is_file(), f"{kind}: {one}"
            assert os.access(path, os.X_OK) or not file.startswith(".ci/"), f"{kind}: {one} cannot be run"
            tree = ast.parse(path.read_text(encoding="utf-8")) if file.endswith(".py") else ast.Module([], [])
            functions = {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}
            assert not name or name in functions, f"{kind}: {one}"
            assert file.startswith(".ci/") or any(one.startswith("test_") for one in functions), f"{kind}: {one}"


@pytest.mark.parametrize("name", ["fuzzing", "long runs"])
def test_tables_are_those_of_the_results(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import long_run
    import long_runs

    if name == "fuzzing":
        rows = long_runs.fuzzing_table(json.loads(long_runs.FUZZING.read_text()))
    else:
        results = json.loads(long_runs.RESULTS.read_text())
        rows = long_runs.table({one: results[one] for one in long_run.RUNS if one in results})
    assert f"<!-- begin {name} -->\n{rows}<!-- end {name} -->\n" in PAGE.read_text(encoding="utf-8")
