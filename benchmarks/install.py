"""From a clean checkout to the comparison: makes the environments that ``compare.py`` needs and runs it in them.

Usage: ``python benchmarks/install.py DIR [arguments of compare.py]``

Two environments under DIR, made once: darknet-py with its ``[bench]`` extra, and opencv-python 4, the last that reads
Darknet's files, which cannot share one with opencv-python 5. Needs nothing but Python itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def make_environment(folder: Path, *packages: str) -> Path:
    """An environment with `packages`, installed unless an earlier run did; its interpreter."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "installed.txt"
    wanted = "\n".join(packages)
    if not done.is_file() or done.read_text() != wanted:
        print(f"installing {', '.join(packages)} in {folder}", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        done.write_text(wanted)
    return python


def main() -> None:
    """Install, then compare."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit((__doc__ or "").split("\n\n")[1])
    folder = Path(sys.argv[1]).resolve()
    bench = make_environment(folder / "bench", "--editable", f"{_ROOT}[bench]")
    opencv4 = make_environment(folder / "opencv4", "opencv-python<5")
    command = [str(bench), str(_ROOT / "benchmarks" / "compare.py"), *sys.argv[2:], "--python", f"opencv4={opencv4}"]
    raise SystemExit(subprocess.call(command))


if __name__ == "__main__":
    main()
