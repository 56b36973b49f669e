"""For PyInstaller, which finds this by the entry point group ``pyinstaller40``: what a frozen program needs of us."""

from __future__ import annotations

from pathlib import Path

__all__ = ["get_hook_dirs"]


def get_hook_dirs() -> list[str]:
    """Where the hooks are."""
    return [str(Path(__file__).parent)]
