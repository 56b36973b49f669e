"""Directories of pictures: none is left out in silence, by the ending of its name or for being broken."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from command_line import Model, error_lines, found_in
from PIL import Image

from darknet_py.sources.lists import files_in


def written(path: Path, kind: str) -> Path:
    stream = io.BytesIO()
    Image.new("RGB", (24, 16), (200, 40, 40)).save(stream, kind)
    path.write_bytes(stream.getvalue())
    return path


def names_of(folder: Path) -> list[str]:
    return [os.path.basename(path) for path in files_in(str(folder))]


def test_every_ending_that_is_read(tmp_path: Path) -> None:
    endings = {
        "JPEG": "jpg jpeg jpe jfif jif jfi mpo",
        "PNG": "png apng",
        "TIFF": "tif tiff",
        "PPM": "ppm pgm pbm pnm pam",
        "JPEG2000": "jp2 j2k j2c jpc jpf jpx",
        "TGA": "tga",
        "BMP": "bmp dib",
        "GIF": "gif",
        "WEBP": "webp",
        "ICO": "ico",
        "PCX": "pcx",
        "SGI": "sgi",
        "DDS": "dds",
        "ICNS": "icns",
    }
    expected = []
    for kind, some in endings.items():
        for number, ending in enumerate(some.split()):
            name = f"{kind}.{ending.upper() if number % 2 else ending}"
            written(tmp_path / name, kind if kind not in ("JPEG2000", "SGI", "DDS", "ICNS") else "PNG")
            expected.append(name)
    for ending in ("avif", "qoi", "sr", "ras"):
        (tmp_path / f"rare.{ending}").write_bytes(b"whatever")
        expected.append(f"rare.{ending}")
    assert names_of(tmp_path) == sorted(expected)


def test_pictures_of_any_name_are_told_by_their_bytes(tmp_path: Path) -> None:
    for name, kind in (
        ("scan", "PNG"),
        ("photo.jpg_large", "JPEG"),
        ("image.1", "TIFF"),
        ("x.tmp", "BMP"),
        ("y.", "PPM"),
    ):
        written(tmp_path / name, kind)
    (tmp_path / "phone.bin").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    for name, text in (
        ("notes.txt", "0 0.5 0.5 0.2 0.2\n"),
        ("empty", ""),
        ("page.html", "<html>"),
        ("clip.mp4", "\0\0\0\x18ftypisom"),
        ("logo.svg", "<svg>"),
        ("BMW", "BMW and others"),
    ):
        (tmp_path / name).write_text(text)
    written(tmp_path / ".hidden", "PNG")
    (tmp_path / "inner.png").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    assert names_of(tmp_path) == ["clip.mp4", "image.1", "phone.bin", "photo.jpg_large", "scan", "x.tmp", "y."]


def test_what_cannot_be_read_gets_its_line(tmp_path: Path) -> None:
    model = Model(tmp_path)
    album = tmp_path / "album"
    album.mkdir()
    written(album / "good.jfif", "JPEG")
    (album / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    (album / "light.hdr").write_bytes(b"#?RADIANCE\n\n-Y 2 +X 2\n" + bytes(16))
    (album / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (album / "text-link").symlink_to(tmp_path / "nowhere.txt")
    result = model.detect(album)
    assert found_in(result) == ["good.jfif"] and result.exit_code == 1
    broken, light, phone = error_lines(result)
    assert "broken.jpg: no such file" in broken
    assert "light.hdr: a Radiance HDR file, which is not read" in light
    assert "phone.HEIC: a HEIC file, which is not read" in phone


def test_warnings_of_a_picture_name_it(tmp_path: Path) -> None:
    model = Model(tmp_path)
    cut = written(tmp_path / "camera.jpg", "JPEG")
    cut.write_bytes(cut.read_bytes()[:-2])
    result = model.detect(cut)
    assert found_in(result) == ["camera.jpg"] and result.exit_code == 0
    assert f"{cut}: a JPEG without its end marker" in result.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_files_of_other_names_are_no_pictures(tmp_path: Path) -> None:
    written(tmp_path / "a.png", "PNG")
    written(tmp_path / "secret", "PNG").chmod(0)
    assert names_of(tmp_path) == ["a.png"]
