"""Reading names, and finding those that belong to a cfg."""

import logging
import os
from functools import partial
from pathlib import Path

import pytest

from darknet_py import names as names_module
from darknet_py import shipped as shipped_module
from darknet_py.errors import CfgError
from darknet_py.names import find_names, load_names
from darknet_py.shipped import resolve_cfg, shipped, shipped_models

THREE = ("cat", "dog", "traffic light")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A directory with a cfg, apart from the working directory."""
    (tmp_path / "run").mkdir()
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    (tmp_path / "model" / "my.cfg").write_text("[net]\n")
    return tmp_path / "model"


def put(path, names):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(name + "\n" for name in names))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"cat\ndog", ("cat", "dog")),  # no newline at the end
        (b"cat\r\ndog\r\n", ("cat", "dog")),
        (b" cat \ntraffic light\n", (" cat ", "traffic light")),  # verbatim
        (b"cat\n\ndog\n\n \r\n\n", ("cat", "", "dog")),  # blank lines count, but not at the end
        (b"\xef\xbb\xbfcat\n", ("cat",)),  # byte order mark
        ("猫\nпёс\n".encode(), ("猫", "пёс")),
        ("a\u2028b\n".encode(), ("a\u2028b",)),  # only a newline ends a line
    ],
)
def test_load_names(tmp_path, raw, expected):
    (tmp_path / "x.names").write_bytes(raw)
    assert load_names(tmp_path / "x.names") == load_names(str(tmp_path / "x.names")) == expected


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"cat\n\x00\x01", ":2: binary"),
        (b"cat\ndog\n\xff\xfe\n", ":3: not UTF-8"),
    ],
)
def test_files_without_names(tmp_path, raw, message):
    (tmp_path / "x.names").write_bytes(raw)
    with pytest.raises(CfgError, match=message):
        load_names(tmp_path / "x.names")


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(CfgError, match="cannot be read"):
        load_names(tmp_path / "missing.names")
    with pytest.raises(CfgError, match="cannot be read"):
        load_names(tmp_path)
    monkeypatch.setattr(names_module, "LARGEST_FILE", 10)
    (tmp_path / "x.weights").write_bytes(b"n" * 11)
    with pytest.raises(CfgError, match="weights file"):
        load_names(tmp_path / "x.weights")


def test_given_names_must_fit(folder):
    put(folder / "my.names", THREE)
    put(folder / "given.names", ("one", "two"))
    assert find_names(folder / "my.cfg", 2, folder / "given.names") == ("one", "two")
    assert find_names(folder / "my.cfg", 2, ["uno", "due"]) == ("uno", "due")
    with pytest.raises(CfgError, match=r"given\.names: 2 names, expected 3"):
        find_names(folder / "my.cfg", 3, str(folder / "given.names"))
    with pytest.raises(CfgError, match="1 names, expected 3"):
        find_names(folder / "my.cfg", 3, ["uno"])
    with pytest.raises(CfgError, match="cannot be read"):
        find_names(folder / "my.cfg", 3, folder / "missing.names")


@pytest.mark.parametrize("data", ["my.data", "obj.data"], ids=["of the cfg's name", "the only one"])
@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("pets.list", "model/pets.list"),
        ("data/pets.list", "model/data/pets.list"),
        ("/home/someone/pets.list", "model/pets.list"),  # trained elsewhere
        ("C:\\train\\pets.list", "model/pets.list"),
    ],
)
def test_data_file_beside_the_cfg(folder, data, written, place):
    put(folder / "my.names", ("wrong",) * 3)
    put(folder.parent / place, THREE)
    (folder / data).write_text(f"# names = no.list\nclasses= 3\r\nnames = {written}\r\nnames = late.list\nbackup\n")
    assert find_names(folder / "my.cfg", 3) == THREE


def test_data_file_in_a_folder_called_cfg(tmp_path):
    put(tmp_path / "cfg" / "my.names", ("wrong",) * 3)
    put(tmp_path / "data" / "pets.list", THREE)  # Darknet runs above its cfg directory
    (tmp_path / "cfg" / "my.data").write_text("names = data/pets.list\n")
    assert find_names(tmp_path / "cfg" / "my.cfg", 3) == THREE
    (tmp_path / "cfg" / "my.data").write_text(f"names = {tmp_path.name}/../../{tmp_path.name}/data/pets.list\n")
    assert find_names(tmp_path / "cfg" / "my.cfg", 3) == ("wrong",) * 3


@pytest.mark.parametrize("written", ["{}/secret", "../secret", "a/../../secret", "link", "away/secret"])
def test_data_file_that_leads_away(folder, written, caplog):
    """What a stranger's .data file names is not read from anywhere, to come back as the names of classes."""
    put(folder.parent / "secret", THREE)
    put(folder / "my.names", ("right",) * 3)
    (folder / "a").mkdir()
    for link, target in (("link", folder.parent / "secret"), ("away", folder.parent)):
        try:
            (folder / link).symlink_to(target)
        except OSError:
            pytest.skip("no symbolic links here")
    (folder / "my.data").write_text(f"names = {written.format(folder.parent)}\n")
    with caplog.at_level(logging.WARNING):
        assert find_names(folder / "my.cfg", 3) == ("right",) * 3
    assert "lie outside its folder and are not opened; give them with --names" in caplog.text


def test_data_file_that_does_not_help(folder, caplog):
    put(folder / "my.names", THREE)
    (folder / "my.data").write_text("names = missing.names\n")
    assert find_names(folder / "my.cfg", 3) == THREE
    (folder / "my.data").write_bytes(b"names\0")
    with caplog.at_level(logging.WARNING):
        assert find_names(folder / "my.cfg", 3) == THREE
    assert "binary data" in caplog.text


def test_names_file_beside_the_cfg(folder, caplog):
    put(folder / "zoo.names", ("a", "b", "c"))
    assert find_names(folder / "my.cfg", 3) == ("a", "b", "c")  # the only one that fits
    put(folder / "my.names", THREE)
    assert find_names(folder / "my.cfg", 3) == THREE  # the cfg's own first
    put(folder / "my.names", THREE[:2])
    assert find_names(folder / "my.cfg", 3) == ("a", "b", "c")
    put(folder / "pet.names", ("x", "y", "z"))
    assert find_names(folder / "my.cfg", 3) == ("class 0", "class 1", "class 2")  # two lists fit, neither is chosen
    put(folder / "pet.names", ("a", "b", "c"))
    assert find_names(folder / "my.cfg", 3) == ("a", "b", "c")  # two copies of one list
    (folder / "zoo.names").write_bytes(b"\0")
    with caplog.at_level(logging.WARNING):
        assert find_names(folder / "my.cfg", 3) == ("a", "b", "c")
    assert "zoo.names" in caplog.text


def test_shipped_names_by_number_of_classes(folder):
    assert find_names(folder / "my.cfg", 80)[:2] == ("person", "bicycle")
    assert find_names("nowhere/my.cfg", 20)[:2] == ("aeroplane", "bicycle")
    assert find_names("nowhere/my.cfg", 2) == ("class 0", "class 1")


def test_data_dir_stands_in_for_the_shipped_names(folder):
    put(folder / "lists" / "voc.names", [f"thing {i}" for i in range(20)])
    assert find_names("nowhere/my.cfg", 20, data_dir=folder / "lists")[0] == "thing 0"
    assert find_names("nowhere/my.cfg", 80, data_dir=folder / "lists")[0] == "class 0"


def test_shipped_files(tmp_path, monkeypatch):
    assert shipped("coco.names").is_file()
    assert shipped("yolov4.cfg").is_file()
    assert shipped("missing.cfg") is None
    assert shipped("missing.weights") is None
    assert shipped("../cfg/yolov4.cfg") is None
    monkeypatch.setattr(shipped_module, "_PACKAGE", tmp_path / "site" / "darknet_py")
    for call in (partial(shipped, "mine.cfg"), shipped_models):
        with pytest.raises(CfgError, match="no such folder, expected the data of the package"):
            call()
    put(tmp_path / "site" / "cfg" / "other.cfg", ())  # somebody else's folder in site-packages
    put(tmp_path / "site" / "darknet_py" / "data" / "cfg" / "mine.cfg", ())
    put(tmp_path / "site" / "darknet_py" / "data" / "weights" / "mine.weights", ())
    assert shipped("mine.cfg").is_file()
    assert shipped("mine.weights").is_file()
    assert shipped_models() == ("mine",)
    assert shipped("other.cfg") is None


def test_resolve_cfg(folder):
    assert resolve_cfg(folder / "my.cfg") == folder / "my.cfg"
    assert resolve_cfg("yolov4") == resolve_cfg("yolov4.cfg") == shipped("yolov4.cfg")
    Path("yolov4.cfg").write_text("[net]\n")
    assert resolve_cfg("yolov4.cfg") == Path("yolov4.cfg")  # a file comes before the shipped model


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_a_file(folder):
    os.mkfifo(folder / "pipe")
    assert resolve_cfg(folder / "pipe") == folder / "pipe"


@pytest.mark.parametrize("text", ["x" * 5000, "a/" * 3000])
def test_a_path_that_no_system_takes_is_no_such_file(text):
    with pytest.raises(CfgError, match="no such file"):
        resolve_cfg(text)


@pytest.mark.parametrize("text", ["yolo4", "missing/yolov4.cfg", "", "."])
def test_no_such_cfg_lists_the_models(folder, text):
    with pytest.raises(CfgError, match=r"shipped model \(.*yolov3.*yolov4, "):
        resolve_cfg(text)
