"""Pictures written to files: wholly or not at all, as they are or as near as JPEG gets, in a format by their name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from darknet_py.draw.imagewriter import IMAGE_SUFFIXES, save_image
from darknet_py.errors import ImageError, OptionError, OutputError
from darknet_py.files import WholeFile
from darknet_py.image import load_image


def blank(height: int = 300, width: int = 400) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_save_image(suffix: str, tmp_path: Path) -> None:
    rgb = blank(20, 30)
    rgb[:, :15] = (200, 40, 60)
    file = tmp_path / f"größe 自転車{suffix.upper()}"
    file.write_bytes(b"an older one")
    save_image(file, rgb, bgr=False)
    lost = 6 if suffix in (".jpg", ".jpeg") else 0
    assert np.abs(load_image(file)[:, (2, 28)] - rgb[:, (2, 28)].astype(int)).max() <= lost
    save_image(str(file), rgb[..., ::-1])
    assert np.abs(load_image(file)[:, (2, 28)] - rgb[:, (2, 28)].astype(int)).max() <= lost
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_grey_is_written_as_grey(shape: tuple[int, ...], tmp_path: Path) -> None:
    grey = np.arange(35, dtype=np.uint8).reshape(shape)
    save_image(tmp_path / "grey.png", grey)
    with Image.open(tmp_path / "grey.png") as image:
        assert image.mode == "L"
    np.testing.assert_array_equal(load_image(tmp_path / "grey.png", channels=1)[..., 0], grey.reshape(5, 7))


def test_lines_of_one_pixel_keep_their_colour_in_jpeg(tmp_path: Path) -> None:
    image = blank(40, 60)
    image[:, 21] = image[17] = (255, 140, 112)
    save_image(tmp_path / "lines.jpg", image, bgr=False)
    saved = load_image(tmp_path / "lines.jpg").astype(int)
    assert np.abs(saved - image).max() <= 25  # 59 where colours are halved


def test_what_is_written_depends_on_the_picture_alone(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 31, 3), np.uint8)
    save_image(tmp_path / "a.png", image[:, ::2], bgr=False)  # strided
    save_image(tmp_path / "b.png", image[:, ::2].copy(), bgr=False)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_refused_names(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"ends in '\.gif', expected one of \.jpg"):
        save_image(tmp_path / "a.gif", blank())
    with pytest.raises(OptionError, match="ends in ''"):
        save_image(tmp_path / "a", blank())
    with pytest.raises(OptionError, match=r"missing.a\.png: cannot be written"):
        save_image(tmp_path / "missing" / "a.png", blank())
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OptionError, match=r"folder\.png: cannot be written"):
        save_image(tmp_path / "folder.png", blank())
    with pytest.raises(OptionError, match="cannot be written"):
        save_image("a\0b.png", blank())
    with pytest.raises(OptionError, match=r"path is array.*expected a str or a Path"):
        save_image(np.zeros(2), "a.png")  # type: ignore[arg-type]  # the order of cv2.imwrite's cousins
    with pytest.raises(OptionError, match="bgr='RGB': expected True or False"):
        save_image(tmp_path / "a.png", blank(), bgr="RGB")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((0, 4, 3), np.uint8), r"expected an array of shape \(H, W, 3\)"),
        (np.zeros((4, 4, 3)), r"dtype float64, expected"),
        (np.zeros((4, 4, 2), np.uint8), r"expected an array of shape \(H, W, 3\)"),
        (None, r"image is None.*did cv2\.imread fail"),
        (Image.new("RGB", (4, 4)), r"numpy\.asarray\(image\).*bgr=False"),
        ([[1, 2], [3, 4]], "image is a list"),
    ],
)
def test_refused_pictures(image: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=message):
        save_image(tmp_path / "a.png", image)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "longest"), [(".jpg", 65500), (".webp", 16383)])
def test_pictures_too_large_for_their_format(
    suffix: str, longest: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_image(tmp_path / f"a{suffix}", np.zeros((1, longest), np.uint8))
    with pytest.raises(ImageError, match=rf"cannot be encoded as \{suffix}: {longest} pixels a side at most"):
        save_image(tmp_path / f"b{suffix}", np.zeros((1, longest + 1), np.uint8))
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"an older one")

    def full_disk(self: WholeFile, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WholeFile, "write", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        save_image(file, blank())
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"] and file.read_bytes() == b"an older one"


def test_a_format_that_pillow_was_built_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.preinit()
    Image.init()
    monkeypatch.delitem(Image.SAVE, "WEBP")
    with pytest.raises(OptionError, match="built without WEBP"):
        save_image(tmp_path / "a.webp", blank())
