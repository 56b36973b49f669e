"""The command line as a target: bytes choose a command, its options and their values."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from click.testing import CliRunner
from command_line import Model

from darknet_py.cli.main import main
from darknet_py.errors import DarknetError

__all__ = ["run_options"]

#: What a command may take that ends soon and writes nothing outside its working directory.
_OPTIONS = {
    "detect": "cfg weights names thresh nms letterbox! size threads like exact! precision json out input input",
    "inspect": "size json! model offline! input",
    "bench": "size repeat precision json! layers! input",
    "warmup": "size threads precision again! input",
    "export": "onnx size batch decode! names mish input input",
    "download": "list! dir force! input",
    "cache": "check!",
    "--version": "x!",
}
_VALUES = """
    0 1 2 -1 1.5 nan inf 1e400 99999999999999999999 32x24 64 0x0 32x 4096x4096 tiny.cfg tiny.weights tiny.names
    yes.png no.png none.png . x.json out - darknet opencv darknet.py float32 bfloat16 yolov4-codes yolov4-tiny
    dynamic 0.25 0.45 raw
""".split()


@cache
def _model() -> Model:
    """A tiny model and two pictures, in the folder that becomes the working directory."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    model = Model(folder)
    model.picture("yes.png", (1, 1))
    model.picture("no.png")
    return model


def _arguments(data: bytes) -> list[str]:
    commands = list(_OPTIONS)
    command = commands[data[0] % len(commands)] if data else "detect"
    arguments = [command]
    names, at = _OPTIONS[command].split(), 1
    while at + 1 < len(data) and len(arguments) < 16:
        name, choice = names[data[at] % len(names)], data[at + 1]
        at += 2
        value = _VALUES[choice % len(_VALUES)]
        if choice >= 240:  # any text, but no path that leads out of the working directory
            length = data[at] if at < len(data) else 0
            value = os.fsdecode(data[at + 1 : at + 1 + length]).replace("/", "_").replace("\0", "")
            at += 1 + length
        if name == "input":
            arguments.append(value)
        elif name.endswith("!"):
            arguments.append(f"--{name[:-1]}")
        else:
            arguments += [f"--{name}", value]
    return arguments


def run_options(data: bytes) -> None:
    """Exit code 0, 1 or 2, and no traceback."""
    model = _model()
    arguments = _arguments(data)
    before = os.getcwd()
    os.chdir(model.folder)
    try:
        result = CliRunner().invoke(main, arguments)
    finally:
        os.chdir(before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert not isinstance(result.exception, DarknetError), arguments
        raise result.exception
    assert result.exit_code in (0, 1, 2), (arguments, result.output)
    assert "Traceback" not in result.output, (arguments, result.output)
