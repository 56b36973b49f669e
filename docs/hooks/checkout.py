"""Takes pages and files of the checkout that lie outside docs/ into the site, and turns links to them.

Pages stay readable where they lie: README.md links to ``docs/video.md``, docs/server.md to ``../deploy/Dockerfile``.
The site has the README as its home, the other texts of `PAGES` under the names there, and any other file that a page
links to as it is, under ``files/``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

#: A text of the checkout, and what it is called on the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/results/compare-zen5.md": "compare-zen5.md",
    "training/README.md": "training.md",
    "weights/README.md": "weights.md",
}
_ORIGINS = {page: text for text, page in PAGES.items()}
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the texts of `PAGES`, and every file outside docs/ that a page links to."""
    for text, page in PAGES.items():
        content = (ROOT / text).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    for page in list(files.documentation_pages()):
        for target in _linked(page.content_string, _origin(page.src_uri)):
            place = _place(target)
            if not place.endswith(".md") and place.startswith("files/") and files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the checkout into links between pages of the site."""
    here, origin = page.file.src_uri, _origin(page.file.src_uri)

    def turn(found: re.Match[str]) -> str:
        target = _in_checkout(found[2], origin)
        if target is None:
            return found[0]
        link = posixpath.relpath(_place(target), posixpath.dirname(here) or ".")
        return f"{found[1]}{link}{found[3] or ''})"

    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(turn, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(turn, markdown[end:])])


def _origin(page: str) -> str:
    """Where a page lies in the checkout."""
    return _ORIGINS.get(page, f"docs/{page}")


def _linked(markdown: str, origin: str) -> list[str]:
    found = (_in_checkout(link[2], origin) for link in _LINK.finditer(_FENCE.sub("", markdown)))
    return [target for target in found if target is not None]


def _in_checkout(link: str, origin: str) -> str | None:
    """What a link in the file `origin` leads to, from the checkout's root; None for addresses and for no file."""
    if "://" in link:
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    return target if (ROOT / target).exists() else None


def _place(target: str) -> str:
    """What a file of the checkout is called on the site."""
    if target in PAGES:
        return PAGES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if (ROOT / target / "README.md").is_file():
        return _place(f"{target.rstrip('/')}/README.md")
    return f"files/{target}"
