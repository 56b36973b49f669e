"""Lists of names and .data files as strangers' editors leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from darknet_py import CfgError
from darknet_py.names import find_names, load_names


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("katze\nhund\n".encode("utf-16"), ("katze", "hund")),
        ("katze\r\nhund\r\n".encode("utf-16-le"), ("katze", "hund")),
        ("猫\n犬\n".encode("utf-8-sig"), ("猫", "犬")),
        (b"cat\rdog\r", ("cat", "dog")),
        (b"cat \n\ndog\n\n", ("cat ", "", "dog")),  # verbatim, as in Darknet
    ],
)
def test_encodings_and_line_ends(tmp_path: Path, data: bytes, names: tuple[str, ...]) -> None:
    (tmp_path / "a.names").write_bytes(data)
    assert load_names(tmp_path / "a.names") == names


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html><html><title>404</title></html>", 'a web page \\("404"\\)'),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "a Git LFS pointer"),
        (b'{"names": ["cat"]}', "a JSON document"),
        (b"# a remark\n[net]\nwidth=32\n", "a Darknet cfg"),
    ],
)
def test_what_is_no_list_of_names_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    (tmp_path / "a.names").write_bytes(data)
    with pytest.raises(CfgError, match=rf"a\.names: this is {kind}.*, expected class names, one per line"):
        load_names(tmp_path / "a.names")


@pytest.mark.parametrize(
    "line",
    [
        "names = my own.names",
        "names = my own.names # of the herd",
        'names = "my own.names"',
        "names='my own.names' # cows",
        "labels=my own.names",
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_data_files(tmp_path: Path, line: str, codec: str) -> None:
    (tmp_path / "my own.names").write_text("cow\nbull\n")
    (tmp_path / "m.data").write_bytes(f"classes=2\r\n{line}\r\n".encode(codec))
    assert find_names(tmp_path / "m.cfg", 2) == ("cow", "bull")
    assert find_names(tmp_path / "m.cfg", 2, tmp_path / "m.data") == ("cow", "bull")


def test_a_name_with_a_hash_is_looked_for_first(tmp_path: Path) -> None:
    (tmp_path / "c#.names").write_text("sharp\nflat\n")
    (tmp_path / "c").write_text("a\nb\n")
    (tmp_path / "m.data").write_text("names=c#.names\n")
    assert find_names(tmp_path / "m.cfg", 2) == ("sharp", "flat")
