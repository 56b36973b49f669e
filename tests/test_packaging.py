"""The distribution: what setup.cfg says against what is in the tree."""

from __future__ import annotations

import configparser
import re
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import pytest

import darknet_py
from darknet_py import shipped
from darknet_py.names import find_names

ROOT = Path(__file__).parents[1]

#: Package data by the kind that `darknet_py.shipped` asks for, and where it lies in a checkout.
DATA = {"cfg": "cfg", "pictures": "examples/pictures", "weights": "weights"}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    file = ROOT / "setup.cfg"
    if not file.is_file():
        pytest.skip("needs the checkout's setup.cfg")
    parser = configparser.ConfigParser()
    parser.read(file)
    return parser


def test_every_subpackage_is_shipped(setup: configparser.ConfigParser) -> None:
    listed = set(setup["options"]["packages"].split())
    found = {".".join(init.parent.relative_to(ROOT).parts) for init in (ROOT / "darknet_py").rglob("__init__.py")}
    assert found <= listed
    assert listed - found == {f"darknet_py.data.{kind}" for kind in DATA}


@pytest.mark.parametrize(("kind", "folder"), DATA.items())
def test_data_of_a_wheel_is_what_a_checkout_has(setup: configparser.ConfigParser, kind: str, folder: str) -> None:
    package = f"darknet_py.data.{kind}"
    mapped = dict(line.split(" = ") for line in setup["options"]["package_dir"].strip().splitlines())
    assert mapped[package] == folder
    patterns = setup["options.package_data"][package].split(", ")
    shipped = {file.name for pattern in patterns for file in (ROOT / folder).glob(pattern)}
    assert shipped == {file.name for file in (ROOT / folder).iterdir()}


def test_version_is_found_by_the_name_of_the_distribution(setup: configparser.ConfigParser) -> None:
    try:
        installed = version(setup["metadata"]["name"])
    except PackageNotFoundError:
        installed = "0+unknown"
    assert darknet_py.__version__ == installed


def test_nothing_advises_to_install_somebody_elses_package(setup: configparser.ConfigParser) -> None:
    """On the package index "darknet-py" (the same name as "darknet.py" and "Darknet_Py") is another project."""
    assert re.sub(r"[-_.]+", "-", setup["metadata"]["name"]).lower() != "darknet-py"
    advice = re.compile(r"(pip|uv) [^`\n]*install [^`\n]*[\"' ]darknet[-_.]py(?![-_.\w])", re.IGNORECASE)
    assert advice.search('pip install "darknet-py[onnx]"') and not advice.search("pip install . && bin/darknet-py demo")
    folders = ("benchmarks", "darknet_py", "docs", "examples", "tests", "training", "weights")
    texts = [
        *ROOT.glob("*.md"),
        *(file for one in folders for end in ("md", "py") for file in ROOT.glob(f"{one}/**/*.{end}")),
    ]
    advising = [file for file in texts if advice.search(file.read_text(encoding="utf-8"))]
    assert len(texts) > 100 and not set(advising) - {Path(__file__)}


def test_runtime_dependencies_are_the_five(setup: configparser.ConfigParser) -> None:
    names = {line.split(">")[0] for line in setup["options"]["install_requires"].split()}
    assert names == {"click", "numba", "numpy", "opencv-python", "pillow"}


def test_public_names_are_importable() -> None:
    for name in darknet_py.__all__:
        assert getattr(darknet_py, name) is not None
    assert set(darknet_py.__all__) <= set(dir(darknet_py))
    with pytest.raises(AttributeError, match="nothing"):
        darknet_py.nothing  # noqa: B018


def test_command_is_an_entry_point() -> None:
    found = [entry for entry in entry_points(group="console_scripts") if entry.name == "darknet-py"]
    if not found:
        pytest.skip("darknet-py is not installed, only on the path")
    assert callable(found[0].load())


def test_pyinstaller_finds_a_hook() -> None:
    found = [entry for entry in entry_points(group="pyinstaller40") if entry.value.startswith("darknet_py.")]
    if not found:
        pytest.skip("darknet-py is not installed, only on the path")
    (folder,) = found[0].load()()
    hook = (Path(folder) / "hook-darknet_py.py").read_text()
    assert 'collect_data_files("darknet_py")' in hook and 'copy_metadata("darknet-numba")' in hook


def test_package_data_that_were_left_out_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that was frozen without them: not other names, nor another model."""
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "darknet_py")
    missing = r"darknet_py.data.cfg: no such folder, expected the data of the package"
    for call in (
        darknet_py.Detector,
        lambda: darknet_py.load_graph("yolov4"),
        lambda: find_names(tmp_path / "my.cfg", 80),
        shipped.shipped_models,
    ):
        with pytest.raises(darknet_py.CfgError, match=missing):
            call()
    (tmp_path / "darknet_py" / "data" / "cfg").mkdir(parents=True)
    with pytest.raises(darknet_py.CfgError, match=r"coco\.names: missing among the data of the package"):
        find_names(tmp_path / "my.cfg", 80)
    assert find_names(tmp_path / "my.cfg", 2) == ("class 0", "class 1")
