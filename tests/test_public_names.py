"""The public face: exactly what is importable; loaded late, yet seen by pydoc, inspect and type checkers."""

from __future__ import annotations

import ast
import inspect
import os
import pydoc
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import darknet_py

PUBLIC = {
    "CfgError",
    "Classification",
    "Classifier",
    "DarknetError",
    "Detection",
    "Detections",
    "Detector",
    "DownloadError",
    "Graph",
    "ImageError",
    "Limits",
    "LoadedWeights",
    "Network",
    "OptionError",
    "OutputError",
    "SeededWeights",
    "Session",
    "UnsupportedError",
    "VideoError",
    "WeightsError",
    "__version__",
    "annotate",
    "export_onnx",
    "load_graph",
    "load_weights",
    "save_image",
    "save_weights",
    "write_weights",
}

#: What takes the time and the memory of an import.
HEAVY = {"PIL", "cv2", "llvmlite", "numba", "numpy", "onnx", "supervision"}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_public_names_are_exactly_these() -> None:
    assert len(darknet_py.__all__) == len(PUBLIC)
    assert set(darknet_py.__all__) == PUBLIC
    assert {name for name in dir(darknet_py) if not name.startswith("__")} == PUBLIC - {"__version__"}
    assert "__version__" in dir(darknet_py) and "__doc__" in dir(darknet_py)


def test_every_name_is_importable_and_says_what_it_is() -> None:
    for name in PUBLIC - {"__version__"}:
        found = getattr(darknet_py, name)
        assert found.__name__ == name
        assert inspect.isclass(found) or inspect.isfunction(found)
        assert inspect.getdoc(found), name
        assert found is getattr(import_module(found.__module__), name)
        assert getattr(darknet_py, name) is found
    assert isinstance(darknet_py.__version__, str)
    with pytest.raises(AttributeError, match="module 'darknet_py' has no attribute 'detect'"):
        darknet_py.detect  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Detect'"):
        from darknet_py import Detect  # type: ignore[attr-defined]  # noqa: F401


def test_a_star_imports_them_all() -> None:
    printed = run(
        "from darknet_py import *\nprint(*(name for name in dir() if name[:2] != '__' or name == '__version__'))"
    )
    assert set(printed.split()) == PUBLIC


def test_names_are_loaded_when_first_asked_for() -> None:
    loaded = "print(*{name.partition('.')[0] for name in sys.modules})"
    assert not HEAVY & set(run(f"import sys, darknet_py\ndir(darknet_py)\n{loaded}").split())
    assert "numpy" in run(f"import sys, darknet_py\ndarknet_py.Detections\n{loaded}").split()
    assert not {"onnx", "supervision"} & set(run(f"import sys\nfrom darknet_py import *\n{loaded}").split())


def test_the_errors_need_nothing_else() -> None:
    printed = run("import sys, darknet_py\nprint(issubclass(darknet_py.CfgError, ValueError), 'numpy' in sys.modules)")
    assert printed.split() == ["True", "False"]


def test_pydoc_shows_the_lazy_names_with_their_docstrings() -> None:
    text = run("import pydoc, darknet_py\nprint(pydoc.render_doc(darknet_py, renderer=pydoc.plaintext))")
    classes, functions = text[text.index("\nCLASSES") : text.index("\nFUNCTIONS")], text[text.index("\nFUNCTIONS") :]
    for name in PUBLIC - {"__version__"}:
        found = getattr(darknet_py, name)
        if inspect.isclass(found):
            assert f"    class {name}(" in classes
        else:
            assert f"    {name}(" in functions
        assert inspect.getdoc(found).splitlines()[0] in text.replace("\n     |  ", "\n")  # type: ignore[union-attr]
    assert "Find objects in one picture." in classes and "max_det : int, optional" in classes


def test_help_and_signatures() -> None:
    assert "class Detector(" in pydoc.render_doc("darknet_py.Detector", renderer=pydoc.plaintext)
    assert list(inspect.signature(darknet_py.Detector.detect).parameters) == [
        "self", "image", "thresh", "nms", "bgr", "classes", "agnostic", "single_class", "max_det",
        "class_thresh", "session",
    ]  # fmt: skip
    members = dict(inspect.getmembers(darknet_py))
    assert set(members) >= PUBLIC


def test_what_type_checkers_see_is_what_there_is() -> None:
    """They read the imports under TYPE_CHECKING and the literal ``__all__``, and run nothing."""
    tree = ast.parse(Path(str(darknet_py.__file__)).read_text(encoding="utf-8"))
    seen = {
        alias.name: statement.module
        for block in tree.body
        for statement in (block.body if isinstance(block, ast.If) else [block])
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("darknet_py")
        for alias in statement.names
    }
    assert set(seen) == PUBLIC - {"__version__"}
    for name, module in seen.items():
        assert getattr(import_module(str(module)), name) is getattr(darknet_py, name)
    listed = [s.value for s in tree.body if isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == "__all__"]
    assert set(ast.literal_eval(listed[0])) == PUBLIC


@pytest.mark.slow
def test_mypy_knows_the_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    user = tmp_path / "user.py"
    user.write_text(
        "from darknet_py import DarknetError, Detections, Detector, annotate, export_onnx, load_graph\n"
        "detector = Detector('a.cfg', 'a.weights', size=416, classes=['dog', 3])\n"
        "reveal_type(detector.detect('a.jpg', max_det=3))\n"
        "reveal_type(detector.detect_batch(['a.jpg']))\n"
        "reveal_type(detector.detect_batch(['a.jpg'], errors='return'))\n"
        "reveal_type(load_graph('yolov4').name)\n"
        "Detector(threads='2')\n"
    )
    root = Path(str(darknet_py.__file__)).parents[1]
    checkout = {"MYPYPATH": str(root)} if (root / "setup.cfg").is_file() else {}
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path)]
    command = [sys.executable, "-m", "mypy", *options, str(user)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, cwd=tmp_path, env={**os.environ, **checkout}
    )
    text = done.stdout
    revealed = [line.partition('"')[2].rstrip('"') for line in text.splitlines() if "Revealed" in line]
    found = "darknet_py.boxes.detections.Detections"
    both = f"{found} | darknet_py.errors.DarknetError"
    assert [line.replace("builtins.", "") for line in revealed] == [found, f"list[{found}]", f"list[{both}]", "str"]
    errors = [line for line in text.splitlines() if " error:" in line]
    assert len(errors) == 1 and 'Argument "threads" to "Detector"' in errors[0]
