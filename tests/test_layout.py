"""How the package is laid out, as CONTRIBUTING says: which way it flows, and that its rooms have names and sizes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import darknet_py
from darknet_py import layers
from darknet_py.onnx_export.exporting import EMITTERS
from darknet_py.plan.rules import RULES

PACKAGE = Path(darknet_py.__file__).parent
CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"
LONGEST_FUNCTION = 60

#: Folders whose files are named alike on purpose: what a layer type is, how it becomes steps, how it is exported. A
#: command has the name of what it runs.
COUNTERPARTS = ({"layers", "plan/rules", "onnx_export"},)
COMMANDS = "cli"


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "darknet_py"


MODULES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py")) if "__pyinstaller" not in file.parts}


def rows() -> list[list[str]]:
    """The flow as it is drawn: rows from what knows least to what knows most, of names that know nothing of another."""
    drawn = re.search(r"<!-- begin flow -->\n```text\n(.*?)```\n<!-- end flow -->", CONTRIBUTING.read_text(), re.DOTALL)
    assert drawn is not None
    return [line.partition("#")[0].split() for line in drawn[1].splitlines()]


@pytest.fixture(scope="module")
def places() -> dict[str, tuple[int, str]]:
    """Of every module, its row and the name that stands for it there: of two the longer one."""
    if not CONTRIBUTING.exists():
        pytest.skip("no CONTRIBUTING.md beside the tests")
    drawn = {name: row for row, names in enumerate(rows()) for name in names}
    found = {}
    for module in MODULES:
        standing = [name for name in drawn if module == name or module.startswith(f"{name}.")]
        assert standing, f"{module} is not in the flow that CONTRIBUTING draws"
        name = max(standing, key=len)
        found[module] = drawn[name], name
    unused = set(drawn) - {name for _, name in found.values()}
    assert not unused, f"the flow has {unused}, which are no modules"
    return found


def imports(file: Path) -> Iterator[str]:
    """The modules of this package that a module imports, now or later, but for its types alone."""
    tree = ast.parse(file.read_text())
    conditions = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    types_only = [node for node in conditions if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"]
    passed = {id(inner) for node in types_only for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in passed or node.module is None:
            continue
        top, _, module = node.module.partition(".")
        if top != "darknet_py":
            continue
        inner = [f"{module}.{alias.name}".strip(".") for alias in node.names]
        yield from (name if name in MODULES else module or "darknet_py" for name in inner)


def test_no_import_runs_against_the_flow(places: dict[str, tuple[int, str]]) -> None:
    against = []
    for module, file in MODULES.items():
        row, name = places[module]
        for imported in imports(file):
            its_row, its_name = places[imported]
            if its_name != name and its_row >= row:
                against.append(f"{module} (row {row}: {name}) imports {imported} (row {its_row}: {its_name})")
    assert not against, "\n".join(against)


def imports_at_once(file: Path) -> set[str]:
    """The modules that a module names at its top, those of its types included; not what a function imports later."""
    top = ast.parse(file.read_text())
    for node in ast.walk(top):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = []
    found = set()
    for node in ast.walk(top):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "darknet_py":
            module = node.module.partition(".")[2]
            inner = [f"{module}.{alias.name}".strip(".") for alias in node.names]
            found |= {name if name in MODULES else module or "darknet_py" for name in inner}
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    read = {module: imports_at_once(file) for module, file in MODULES.items()}
    read["session"] -= {"network"}  # whose it is, by its type alone: either is made by the other
    before = 0
    while len(read) != before:
        before = len(read)
        wanted = {name for names in read.values() for name in names}
        read = {module: names & set(read) for module, names in read.items() if module in wanted and names & set(read)}
    assert not read, f"in a circle, or between two: {read}"


def are_counterparts(one: Path, other: Path) -> bool:
    folders = {file.parent.relative_to(PACKAGE).as_posix() for file in (one, other)}
    return COMMANDS in folders or any(folders <= family for family in COUNTERPARTS)


def test_no_two_modules_share_a_name() -> None:
    files = [file for file in MODULES.values() if file.stem not in ("__init__", "__main__")]
    alike = [
        f"{one.relative_to(PACKAGE)} and {other.relative_to(PACKAGE)}"
        for n, one in enumerate(files)
        for other in files[:n]
        if one.stem == other.stem and not are_counterparts(one, other)
    ]
    assert not alike, "\n".join(alike)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_no_function_is_longer_than_a_screen() -> None:
    long = []
    for module, file in MODULES.items():
        for function in functions(ast.parse(file.read_text())):
            assert function.end_lineno is not None
            lines = function.end_lineno - function.lineno + 1
            if lines > LONGEST_FUNCTION:
                long.append(f"{module}.{function.name}: {lines} lines")
    assert not long, "\n".join(long)


def test_types_of_layers_are_told_apart_by_tables_alone() -> None:
    types = {name for name in layers.__all__ if name not in ("LAYERS", "Layer", "Parameter")}
    asked = []
    for module, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                named = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)}
                asked += [f"{module}:{node.lineno}: {name}" for name in sorted(named & types)]
    assert not asked, "\n".join(asked)


def test_every_layer_type_has_a_rule_and_an_export() -> None:
    types = set(layers.LAYERS.values())
    assert set(RULES) == types
    assert set(EMITTERS) == types
