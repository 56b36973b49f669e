"""What compiled kernels are named by: the code that is loaded, in whatever form, and the target."""

from __future__ import annotations

import ast
import compileall
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest

import darknet_py
from darknet_py.cache.stamp import code_digest, stamp_of
from darknet_py.kernels import jit

PACKAGE = Path(darknet_py.__file__).parent

ONE = """LIMIT = 3


def one(x):
    return x in {'a', 'b', 'c'} or x * 2


class Two:
    def two(self):
        return (1, 2.0)
"""

DIGEST = """
import sys
from darknet_py.cache.stamp import code_digest
print(code_digest(compile(sys.argv[1], "here", "exec")))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package called stamped, which can be imported."""
    folder = tmp_path / "stamped"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "one.py").write_text(ONE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "stamped"]:
        del sys.modules[name]


def stamp(*modules: str) -> str | None:
    forget()
    for name in ("stamped", *modules):
        __import__(name)
    return stamp_of("stamped")


def test_the_same_code_has_the_same_stamp(package: Path) -> None:
    first = stamp("stamped.one")
    assert first is not None and first == stamp() == stamp("stamped.one")
    (package / "one.py").write_text("# a comment\n\n" + ONE)
    assert stamp("stamped.one") == first


@pytest.mark.parametrize(
    ("old", "new"),
    [("3", "4"), ("3", "3.0"), ("* 2", "* 2.0"), ("* 2", "+ 2"), ("'c'", "'d'"), ("(1, 2.0)", "(1, -2.0)"),
     ("2.0)", "2)"), ("def one", "def uno"), ("Two", "Three")],
)  # fmt: skip
def test_other_code_has_another(package: Path, old: str, new: str) -> None:
    first = stamp()
    assert old in ONE
    (package / "one.py").write_text(ONE.replace(old, new, 1))
    os.utime(package / "one.py", (1, 1))  # whatever the clock can tell apart
    assert stamp() not in (None, first)


def test_a_module_more_has_another(package: Path) -> None:
    first = stamp()
    (package / "two.py").write_text("")
    assert stamp() not in (None, first)


def test_a_package_in_it_counts(package: Path) -> None:
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").touch()
    (package / "inner" / "one.py").write_text(ONE)
    first = stamp()
    assert first is not None and first == stamp("stamped.inner.one")
    (package / "inner" / "one.py").write_text(ONE.replace("* 2", "* 3"))
    os.utime(package / "inner" / "one.py", (1, 1))
    assert stamp() not in (None, first)


def test_several_names_have_one_stamp(package: Path) -> None:
    """In whatever order; a module is one as well, and one that there is not has none."""
    whole = stamp()
    assert stamp_of("stamped.one", "stamped") == stamp_of("stamped", "stamped.one") == whole
    assert stamp_of("stamped.one") not in (None, whole)
    assert stamp_of("stamped", "stampless") is None


def test_an_update_under_a_running_program(package: Path) -> None:
    """What is loaded is not what its loader gives now: it must not be kept under the name of that."""
    assert stamp("stamped.one")
    (package / "one.py").write_text(ONE.replace("* 2", "* 3"))
    os.utime(package / "one.py", (1, 1))
    assert stamp_of("stamped") is None
    assert stamp("stamped.one")


def test_a_loader_that_gives_no_code(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stamp()
    monkeypatch.setattr("importlib.machinery.SourceFileLoader.get_code", lambda self, name: None)
    assert stamp_of("stamped") is None


def test_a_set_of_texts_has_one_digest_in_every_process() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", DIGEST, ONE],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(PACKAGE.parent)},
            capture_output=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert found == {code_digest(compile(ONE, "elsewhere", "exec", dont_inherit=True)).encode()}


# The package itself -------------------------------------------------------------------------------------------


def imports_of(file: Path) -> Iterator[tuple[str, list[str]]]:
    """What a module imports from this package: the module, and the names from it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("darknet_py"):
            assert node.module is not None
            yield node.module, [alias.name for alias in node.names]


def test_kernels_use_nothing_that_the_stamp_does_not_cover() -> None:
    allowed = (*jit.KERNEL_PACKAGES, "darknet_py.errors", "darknet_py.cache")
    for package in jit.KERNEL_PACKAGES:
        for file in PACKAGE.parent.joinpath(*package.split(".")).rglob("*.py"):
            for module, _ in imports_of(file):
                assert module.startswith(allowed), f"{file.name} imports {module}"


def test_there_are_no_kernels_but_those_that_the_stamp_covers() -> None:
    folders = [PACKAGE.parent.joinpath(*package.split(".")) for package in jit.KERNEL_PACKAGES]
    for file in PACKAGE.rglob("*.py"):
        if not any(file.is_relative_to(folder) for folder in folders):
            compiled = {name for _, names in imports_of(file) for name in names} & {"kernel", "inlined"}
            assert not compiled, f"{file} has kernels of its own"


def leaf_of(program: Path, **changes: str) -> str:
    """Name of the folder of kernels for the package in `program`: a folder or a zip file."""
    done = subprocess.run(
        [sys.executable, "-c", "from darknet_py.kernels import jit; print(jit.cache_leaf(), jit.__file__)"],
        env={**os.environ, "PYTHONPATH": str(program), **changes},
        cwd=program.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    leaf, file = done.stdout.split()
    assert Path(file).is_relative_to(program)
    return leaf


def copy(folder: Path, old: str = "", new: str = "") -> Path:
    """The package's code, in which a kernel has changed."""
    for source in PACKAGE.rglob("*.py"):
        target = folder / "darknet_py" / source.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    kernel = folder / "darknet_py" / "kernels" / "vector" / "activate.py"
    assert old in kernel.read_text()
    kernel.write_text(kernel.read_text().replace(old, new))
    return folder


def zipped(folder: Path, ending: str) -> Path:
    file = folder.with_suffix(".zip")
    with zipfile.ZipFile(file, "w") as archive:
        for path in folder.rglob(f"*{ending}"):
            if "__pyinstaller" not in path.parts and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(folder))
    return file


def test_every_form_of_a_version_has_its_own_kernels(tmp_path: Path) -> None:
    """As files, zipped, zipped without sources, and on other lines the same; with a changed kernel another."""
    old, new = copy(tmp_path / "old"), copy(tmp_path / "new", "0.1", "0.3")
    leaf = leaf_of(old)
    assert leaf != "None" and leaf == jit.cache_leaf()
    changed = leaf_of(new)
    assert changed not in ("None", leaf)
    for folder, expected in ((old, leaf), (new, changed)):
        assert leaf_of(zipped(folder, ".py")) == expected
        compileall.compile_dir(folder, quiet=2, legacy=True)
        bare = tmp_path / f"bare-{folder.name}"
        folder.rename(bare)
        assert leaf_of(zipped(bare, ".pyc")) == expected


def test_targets_and_settings_of_the_compiler_share_nothing() -> None:
    root = PACKAGE.parent
    kinds = [
        {},
        {"NUMBA_OPT": "1"},
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+sse3"},
        {"NUMBA_LOOP_VECTORIZE": "0"},
    ]
    leaves = {leaf_of(root, DARKNET_PY_LANES="4", **kind) for kind in kinds}
    assert len(leaves) == len(kinds)
    assert all(leaf.endswith("-4") for leaf in leaves)


def test_the_name_is_numbas_target() -> None:
    _, cpu, flags = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()
    assert (jit.TARGET.cpu, jit.TARGET.flags) == (cpu, flags)
