"""One target searched for a while in this process: by libFuzzer (atheris) where that is installed, else blindly.

``python tests/fuzz/coverage_guided.py TARGET FOLDER EXECUTIONS SECONDS``: the corpus and the findings are in FOLDER,
with ``counts.json``. A finding does not stop the search: up to three inputs are kept of each place in the code. One of
time or memory counts if it occurs again in a new process, where all is compiled and nothing else has been run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

_KEPT = 3
_LONGEST = 4096
_SEED = os.environ.get("FUZZ_SEED", "1")


class _Search:
    """Counts executions and keeps findings of one target."""

    def __init__(self, name: str, folder: Path, executions: int, seconds: float, engine: str) -> None:
        from fuzz.targets import TARGETS, Beyond, watched

        self.name, self.folder, self.engine = name, folder, engine
        self.executions, self.seconds = executions, seconds
        self.target, self.watched, self.beyond = TARGETS[name], watched, Beyond
        self.count, self.found = 0, Counter[str]()
        self.slowest = 0.0
        self.begun, self.cpu, self.told = time.monotonic(), time.process_time(), 0.0
        self.corpus = folder / "corpus"
        self.corpus.mkdir(parents=True, exist_ok=True)

    def __call__(self, data: bytes) -> None:
        before = time.process_time()
        try:
            self.watched(self.target, data)
        except self.beyond as error:
            if _occurs_again(self.name, data):
                self._keep(error, data)
        except Exception as error:
            self._keep(error, data)
        self.count += 1
        now = time.process_time()
        self.slowest = max(self.slowest, now - before)
        if now - self.told > 1 or self.is_over:
            self.told = now
            self.tell()
        if self.is_over:
            os._exit(0)  # libFuzzer has no other way out of a call

    @property
    def is_over(self) -> bool:
        return self.count >= self.executions or time.monotonic() - self.begun > self.seconds

    def _keep(self, error: Exception, data: bytes) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/fuzz/targets" not in frame.filename]
        last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        self.found[place] += 1
        if self.found[place] <= _KEPT:
            name = hashlib.sha256(data).hexdigest()[:12]
            (self.folder / f"found-{name}").write_bytes(data)
            text = "".join(traceback.format_exception(error))
            (self.folder / f"found-{name}.txt").write_text(f"{self.name}: {place}\n{text}", errors="replace")

    def tell(self) -> None:
        counts = {
            "target": self.name, "engine": self.engine, "executions": self.count, "found": dict(self.found),
            "seconds": round(time.monotonic() - self.begun), "cpu_seconds": round(time.process_time() - self.cpu),
            "slowest_seconds": round(self.slowest, 3),
        }  # fmt: skip
        part = self.folder / "counts.part"
        part.write_text(json.dumps(counts))
        part.replace(self.folder / "counts.json")


def _occurs_again(name: str, data: bytes) -> bool:
    """Whether a new process sees this input take as long or as much.

    LLVM alone takes a gigabyte over the kernels of a few commands, and a busy machine charges a process for waiting.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        done = subprocess.run([sys.executable, __file__, "--once", name, file.name], check=False)
    return done.returncode != 0


def _once(name: str, path: str) -> None:
    """Ends with an error if the input is a finding."""
    _prepare(lambda: None)
    from fuzz.seeds import seeds_of
    from fuzz.targets import TARGETS, watched

    for seed in seeds_of(name):
        with suppress(Exception):
            TARGETS[name](seed)
    watched(TARGETS[name], Path(path).read_bytes())


def _blindly(search: _Search, seeds: list[bytes]) -> None:
    """Seeds with some bytes changed, cut, doubled and joined."""
    dice = random.Random(_SEED + search.name)
    while True:
        data = bytearray(dice.choice(seeds or [b"\0" * 40]))
        for _ in range(dice.choice((1, 1, 2, 4, 16))):
            at = dice.randrange(len(data) + 1)
            size = dice.choice((1, 1, 2, 4, 8, 40))
            way = dice.randrange(5)
            if way == 0:
                data[at : at + size] = dice.randbytes(size)
            elif way == 1:
                del data[at : at + size]
            elif way == 2:
                data[at:at] = data[at : at + size] * dice.choice((1, 3, 50))
            elif way == 3:
                data[at : at + size] = dice.choice((b"\0", b"\xff", b"\x80", b"9", b"\n", b",")) * size
            else:
                other = dice.choice(seeds or [b"\0"])
                data[at:] = other[dice.randrange(len(other) + 1) :]
        search(bytes(data[:_LONGEST]))


def _compiled() -> list[str]:
    """The modules that Numba compiles: it knows nothing of what atheris adds to them."""
    found = importlib.util.find_spec("darknet_py")
    assert found is not None and found.submodule_search_locations
    root = Path(found.submodule_search_locations[0])
    files = [path for path in root.rglob("*.py") if "kernels" in path.parts or ".jit import" in path.read_text()]
    return [".".join(path.relative_to(root.parent).with_suffix("").parts) for path in files]


def _prepare(imports: Callable[[], None]) -> None:
    from fuzz.limits import LIMITS

    os.environ.update({"DARKNET_PY_GUARD": "1"} | LIMITS)
    warnings.simplefilter("error")
    logging.disable(logging.CRITICAL)
    imports()


def main(name: str, folder: str, executions: str, seconds: str) -> None:
    engine = None
    with suppress(ImportError):
        import atheris as engine
    if engine is None or os.environ.get("FUZZ_ENGINE") == "blind":
        engine = None
        _prepare(lambda: None)
    else:

        def instrumented() -> None:
            with engine.instrument_imports(include=["darknet_py"], exclude=_compiled(), enable_loader_override=False):
                import fuzz.targets  # noqa: F401

        _prepare(instrumented)
    from fuzz.seeds import seeds_of
    from fuzz.targets import TARGETS

    seeds = seeds_of(name)
    for seed in seeds:  # compiles what is not in the cache, which takes its time
        with suppress(Exception):
            TARGETS[name](seed)
    label = "atheris" if engine else "blind"
    search = _Search(name, Path(folder), int(executions), float(seconds), label)
    for seed in seeds:
        (search.corpus / f"seed-{hashlib.sha256(seed).hexdigest()[:12]}").write_bytes(seed)
    for seed in seeds:
        search(seed)
    if engine is None:
        _blindly(search, seeds)
        return
    options = [f"-max_len={_LONGEST}", "-rss_limit_mb=6000", "-timeout=600", "-verbosity=0", f"-seed={_SEED}"]
    engine.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/crash-", str(search.corpus)], search)
    engine.Fuzz()


if __name__ == "__main__":
    _once(*sys.argv[2:]) if sys.argv[1] == "--once" else main(*sys.argv[1:])
