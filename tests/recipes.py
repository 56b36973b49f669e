"""The pages of docs/cookbook, block by block: what each is, and how it is run as a reader would.

Blocks of Python with a title are files; others are typed in. Lines of console blocks are commands: those of pip are not
run, `darknet-py` runs in this process, `curl` becomes a request, and what ends in ``&`` is a process of its own. In
place of public models, which nobody downloads for a test, stands the built-in one with other words for its classes.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from click.testing import CliRunner

from darknet_py import Detector
from darknet_py.cli.main import main
from darknet_py.shipped import shipped_pictures

PAGES = Path(__file__).parents[1] / "docs" / "cookbook"

#: What qr, barcode, datamatrix, aruco, pdf417 and aztec are called: words that the recipes ask for.
NAMES = ("person", "truck", "dog", "car", "bus", "bicycle")

#: Of a process: as `stand_in` in this one.
SITE = f"""
import darknet_py
darknet_py.Detector.from_name = classmethod(lambda of, name, **options: of(names={NAMES}, **options))
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the title that makes a file of it, and its text."""

    language: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    """All blocks of a page of the cookbook, in order."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    fence = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
    found = [Block(*one) for one in fence.findall(text.replace('title=""', ""))]
    assert text.count("```") == 2 * len(found), "a block is fenced in another way"
    return found


def stand_in(name: str, **options: Any) -> Detector:
    """What `Detector.from_name` gives in a test."""
    return Detector(names=NAMES, **options)


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Kitchen:
    """A folder with what the recipes look at: street.jpg, photos/, street.mp4; and what is on the stove."""

    folder: Path
    names: dict[str, Any] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    #: In place of 8000, where something of the machine's own may listen.
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        pictures = shipped_pictures()
        (self.folder / "photos").mkdir()
        for picture in pictures[:2]:
            (self.folder / "photos" / picture.name).write_bytes(picture.read_bytes())
        (self.folder / "street.jpg").write_bytes(pictures[0].read_bytes())
        (self.folder / "model.names").write_text("\n".join(NAMES))
        (self.folder / "sitecustomize.py").write_text(SITE)
        _film(self.folder / "street.mp4", pictures[0])

    def cook(self, page: str) -> None:
        """Run every block of a page."""
        for block in blocks(page):
            if block.language == "python":
                self._python(block)
            else:
                assert block.language == "console"
                for line in block.text.splitlines():
                    self._command(line)

    def _python(self, block: Block) -> None:
        if block.title:
            (self.folder / block.title).write_text(block.text)
            found = runpy.run_path(str(self.folder / block.title), run_name=Path(block.title).stem)
        else:
            found = self.names
            exec(compile(block.text, "a block", "exec"), found)
        self.names.update(found)

    def _command(self, line: str) -> None:
        assert line.startswith("$ "), line
        words = shlex.split(line[2:].replace("8000", str(self.port)), comments=True)
        if words[0] == "darknet-py":
            self._darknet(words[1:])
        elif words[0] == "curl":
            self._request(words[1:])
        elif words[-1] == "&":
            module = {"uvicorn": "uvicorn", "gunicorn": "gunicorn"}[words[0]]
            # gunicorn would keep a socket in the user's home.
            path = {**os.environ, "PYTHONPATH": str(self.folder), "GUNICORN_CMD_ARGS": "--no-control-socket"}
            command = [sys.executable, "-m", module, *words[1:-1]]
            self.running.append(subprocess.Popen(command, cwd=self.folder, env=path, stderr=subprocess.PIPE))
        else:
            assert words[:2] == ["pip", "install"] or words[0] in ("sudo", "python3"), line

    def _darknet(self, words: list[str]) -> None:
        if "--model" in words:
            at = words.index("--model")
            words[at : at + 2] = ["--names", str(self.folder / "model.names")]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, (words, result.output)
        self.printed.append(result.stdout)

    def _request(self, words: list[str]) -> None:
        headers, address = {}, words[-1]
        if words[0] == "-F":
            name, _, file = words[1].partition("=@")
            start = f'--B\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
            body = start + (self.folder / file).read_bytes() + b"\r\n--B--\r\n"
            headers["Content-Type"] = "multipart/form-data; boundary=B"
        else:
            assert words[0] == "--data-binary"
            body = (self.folder / words[1].removeprefix("@")).read_bytes()
        request = urllib.request.Request(address, body, headers)
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.printed.append(answer.read().decode())
                    return
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert all(one.poll() is None for one in self.running) and time.monotonic() < deadline, self._said()
                time.sleep(0.05)

    def _said(self) -> str:
        for one in self.running:
            one.kill()
        return "\n".join(one.communicate()[1].decode() for one in self.running)


@contextmanager
def kitchen(folder: Path) -> Iterator[Kitchen]:
    """One, and nothing left on the stove."""
    made = Kitchen(folder)
    try:
        yield made
    finally:
        for one in made.running:
            one.send_signal(signal.SIGINT)
            one.communicate(timeout=60)


def _film(file: Path, picture: Path) -> None:
    """Ten frames of 640x480 in a second, in which all moves to the right."""
    image = cv2.resize(cv2.imread(str(picture)), (640, 480), interpolation=cv2.INTER_AREA)
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 480))
    for step in range(10):
        writer.write(cv2.copyMakeBorder(image, 0, 0, 16 * step, 0, cv2.BORDER_REPLICATE)[:, :640])
    writer.release()
