"""The site: every page can be reached, every public name and command is on one, and nothing of this machine is."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from darknet_py.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))
DOCS = ROOT / "docs"
NAVIGATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8") if (ROOT / "mkdocs.yml").is_file() else ""
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]

#: Of ctypes, or mere values: the page of `darknet_py.darknet` says in a sentence that they are there.
IN_A_SENTENCE = {
    *("POINTER", "Structure", "byref", "c_char_p", "c_float", "c_int", "c_void_p", "cast", "pointer"),
    *("altNames", "hasGPU", "lib", "metaMain", "netMain", "predict"),
}


def hook(name: str) -> ModuleType:
    """A module of docs/hooks."""
    spec = importlib.util.spec_from_file_location(f"site_{name}", DOCS / "hooks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_code(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)


def test_every_page_is_in_the_navigation() -> None:
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert pages <= set(re.findall(r"[\w/-]+\.md", NAVIGATION))


@pytest.mark.parametrize(
    ("module", "page"),
    [
        ("darknet_py", "python"),
        ("darknet_py", "errors"),
        ("darknet_py.opencv", "opencv"),
        ("darknet_py.darknet", "darknet"),
        ("darknet_py.ray", "ray"),
    ],
)
def test_what_a_reference_page_lists_is_public(module: str, page: str) -> None:
    text = (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^::: {re.escape(module)}\.(\w+)$", text, re.MULTILINE)
    assert listed and len(listed) == len(set(listed))
    assert set(listed) <= set(importlib.import_module(module).__all__)


def test_every_public_name_is_on_a_reference_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    for module in ("darknet_py", "darknet_py.opencv", "darknet_py.darknet"):
        listed = set(re.findall(rf"^::: {re.escape(module)}\.(\w+)$", text, re.MULTILINE))
        rest = set(importlib.import_module(module).__all__) - listed
        assert rest <= IN_A_SENTENCE | {"__version__"}
        assert all(f"`{name}`" in text or f"{name}`" in text for name in rest)


def test_the_command_reference_shows_every_command_with_its_options() -> None:
    lines = hook("commands").render_commands()
    text = "\n".join(lines)
    for name in COMMANDS:
        assert f"### darknet-py {name}" in lines
    assert "#### darknet-py weights cut" in lines
    assert "| `--thresh FLOAT RANGE` | Lowest confidence." in text
    assert "darknet-py detect --model yolov4-tiny dog.jpg" in lines
    assert "\b" not in text and "Sentinel" not in text
    assert text.count("| `-h, --help` | Show this message and exit. |") == text.count("| option | |")


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(text: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", without_code(text.read_text(encoding="utf-8"))):
        assert "://" in target or (text.parent / target).exists(), target


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_nothing_of_a_machine_is_on_a_page(text: Path) -> None:
    content = text.read_text(encoding="utf-8")
    assert not re.search(r"/(?:tmp/w|work|root|home/\w+)/|pypi\.|pythonhosted|conda\.|docker\.io|ghcr\.", content)


def test_figures_are_those_of_the_results() -> None:
    import readme

    written: set[str] = set()
    for page in readme.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        new, blocks = readme.rewrite(text)
        assert new == text, f"{page}: run python benchmarks/readme.py"
        assert readme.rewrite(text.replace("darknet-py exact |", "darknet-py direct |"))[0] == text
        written |= blocks
    assert written == {
        "accuracy", "codes", "codes-in-short", "codes-scenes", "compare", "compare-amx", "parity",
        "photographs", "photographs-all", "photographs-in-short",
    }  # fmt: skip


@pytest.mark.slow
def test_it_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    for page in ("index", "install", "migration", "reference/python", "reference/command-line"):
        assert (tmp_path / "site" / f"{page}.html").is_file()
    assert 'id="darknet_py.Detector.detect"' in (tmp_path / "site/reference/python.html").read_text(encoding="utf-8")
