"""The page in a real browser: a picture is dropped, boxes follow the slider, a camera runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import scene
from serving import Serving, picture, serving

pytestmark = pytest.mark.slow

#: A browser's answer may take long where others compute.
PATIENCE = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, server: Serving) -> Iterator[Any]:
    page = chromium.new_page(permissions=["camera"])
    page.set_default_timeout(PATIENCE)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    refusal = "Failed to load resource: the server responded with a status of 400"  # which Chromium says by itself
    page.goto(f"http://127.0.0.1:{server.port}/")
    yield page
    page.close()
    assert [text for text in problems if not text.startswith(refusal)] == []


def drop(page: Any, data: bytes, name: str) -> None:
    """As if the file had been dragged from a folder."""
    page.evaluate(
        """([bytes, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            document.querySelector("main").dispatchEvent(
                new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        [list(data), name],
    )


def colours(page: Any) -> list[list[int]]:
    """The canvas at the middles of the sides of the boxes of two cells."""
    return page.evaluate(  # type: ignore[no-any-return]
        """() => [[48, 32], [112, 64]].map(([x, y]) =>
            [...document.querySelector("canvas").getContext("2d").getImageData(x, y, 1, 1).data])"""
    )


def test_a_dropped_picture_and_the_slider(page: Any, server: Serving, tmp_path: Path) -> None:
    drop(page, picture((1, 1), (3, 2)), "scene.png")
    rows = page.locator("#found tbody tr")
    rows.nth(1).wait_for()
    expected = sorted(server.detector.detect(scene((1, 1), (3, 2)), 0.25), key=lambda one: one.xyxy)
    assert sorted(rows.locator("td:first-child").all_inner_texts()) == sorted(one.class_name for one in expected)
    width, height = page.evaluate("[document.querySelector('canvas').width, document.querySelector('canvas').height]")
    assert (width, height) == (128, 96)
    assert all(max(colour[:3]) - min(colour[:3]) > 40 for colour in colours(page))  # neither black nor white
    page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    page.locator("#thresh").evaluate("node => { node.value = 0.95; node.dispatchEvent(new Event('input')); }")
    least = max(one.confidence for one in expected)
    page.locator("#value").get_by_text("0.95").wait_for()
    assert rows.count() == (0 if least < 0.95 else len([one for one in expected if one.confidence > 0.95]))


def test_a_file_that_is_no_picture(page: Any) -> None:
    drop(page, b"words", "words.png")
    page.locator("#status.error").get_by_text("not an image").wait_for()


def test_the_camera(page: Any, server: Serving) -> None:
    before = server.ask("GET", "/metrics").body.decode()
    page.locator("#camera").click()
    page.locator("#status").get_by_text("on the server").wait_for()
    assert page.locator("#camera").get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.querySelector('canvas').width") > 100
    page.locator("#camera").click()
    assert page.locator("#camera").get_attribute("aria-pressed") == "false"
    assert server.ask("GET", "/metrics").body.decode() != before
