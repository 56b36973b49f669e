"""Go through the Dockerfile where Docker is not to be had: its steps in a namespace, then its command as nobody.

``sudo python deploy/rehearse.py [--build-arg NAME=VALUE]...``

Linux, as root. The base image is this machine's own file system under an overlay, which is thrown away, with a new
virtual environment in the place of the image's Python. The command then runs without capabilities, as the Dockerfile's
user, on that file system read-only: a picture is sent, its answer timed from the start of the process, and the process
ended as by ``docker stop``. Exit code 0 if all went as it should.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PICTURE = CHECKOUT / "examples" / "pictures" / "arena.jpg"
ADDRESS = "http://127.0.0.1:8632"
PYTHON = "/opt/python"


@dataclass
class Stage:
    """One FROM of the Dockerfile, and the file system that it has come to."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    command: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """The Dockerfile, a pair for each instruction."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


def begin(folder: Path) -> Stage:
    """The base image: this machine under an overlay, with a Python of its own first in the path."""
    for name in ("upper", "work", "root"):
        (folder / name).mkdir(parents=True)
    options = f"lowerdir=/,upperdir={folder / 'upper'},workdir={folder / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, folder / "root"], check=True)
    stage = Stage(folder / "root")
    subprocess.run(["mount", "-t", "proc", "proc", stage.root / "proc"], check=True)
    subprocess.run(["mount", "--bind", "/dev", stage.root / "dev"], check=True)
    for above in Path(sys.base_prefix).parents:  # its user may read no home of root's
        (stage.root / above.relative_to("/")).chmod(0o755)
    stage.environment = {"PATH": f"{PYTHON}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}
    inside(stage, [sys.executable, "-m", "venv", PYTHON])
    return stage


def inside(stage: Stage, command: list[str]) -> None:
    """A step, as root."""
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()}
    subprocess.run(["chroot", stage.root, *command], check=True, env=stage.environment | pip)


def copy(stage: Stage, stages: dict[str, Stage], argument: str) -> None:
    """COPY of a folder of the checkout or of another stage."""
    found = re.fullmatch(r"(?:--from=(\w+) )?(\S+) (\S+)", argument)
    assert found, argument
    target = stage.root / found[3].lstrip("/")
    if found[1]:
        shutil.copytree(stages[found[1]].root / found[2].lstrip("/"), target)
        return
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, check=True, capture_output=True).stdout
    for name in listed.decode().rstrip("\0").split("\0"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / name, target / name)


def build(given: dict[str, str], folder: Path) -> Stage:
    """All steps; the last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    for instruction, argument in instructions((CHECKOUT / "deploy" / "Dockerfile").read_text()):
        print(f"{instruction} {argument}", flush=True)
        if instruction == "FROM":
            _, _, name = argument.partition(" AS ")
            stage = stages[name or "last"] = begin(folder / (name or "last"))
        elif instruction == "COPY":
            copy(stage, stages, argument)
        elif instruction == "RUN":
            inside(stage, ["sh", "-c", argument])
        elif instruction == "ARG":
            name, _, value = argument.partition("=")
            stage.environment[name] = given.get(name, value)
        elif instruction == "ENV":
            name, _, value = argument.partition("=")
            stage.environment[name] = string.Template(value).substitute(stage.environment)
        elif instruction == "USER":
            stage.user = argument
        elif instruction == "CMD":
            stage.command = json.loads(argument)
        else:
            assert instruction in ("EXPOSE", "HEALTHCHECK"), instruction
    return stage


def run(stage: Stage) -> bool:
    """The command, read-only and as nobody; whether it answered and ended as it should."""
    subprocess.run(["mount", "-o", "remount,ro", stage.root], check=True)
    user, group = stage.user.split(":")
    nobody = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    command = ["chroot", str(stage.root), *nobody, "--no-new-privs", *stage.command]
    print(f"CMD {shlex.join(stage.command)}", flush=True)
    start = time.monotonic()
    running = subprocess.Popen(command, env=stage.environment, stderr=subprocess.PIPE, text=True)
    try:
        found = first_answer(running)
        seconds = time.monotonic() - start
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
    print(said, end="")
    print(f"first answer after {seconds:.2f} s: {found} boxes; exit code {running.returncode} after SIGTERM")
    return found > 0 and running.returncode == 0 and "compiling" not in said


def first_answer(running: subprocess.Popen[str]) -> int:
    """Boxes in the picture, asked for until there is an answer."""
    while running.poll() is None:
        try:
            with urllib.request.urlopen(f"{ADDRESS}/detect", PICTURE.read_bytes(), timeout=60) as answer:
                return len(json.load(answer)["detections"])
        except urllib.error.URLError:
            time.sleep(0.01)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    if os.environ.get("REHEARSING") != "1":  # once more, where mounts are seen by nobody else
        os.environ["REHEARSING"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, __file__, *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        try:
            return 0 if run(build(dict(one.split("=", 1) for one in arguments.build_arg), Path(folder))) else 1
        finally:
            subprocess.run(["umount", "--recursive", "--lazy", folder], check=True)


if __name__ == "__main__":
    sys.exit(main())
