"""Models by name in Python: lookup in the folder of models, download, verification, `Detector.from_name`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest
from command_line import CFG, Model, weights_bytes
from fake_models import FILES, offer, tiny
from file_server import FileServer, ranged, status, whole

from darknet_py import Detector, DownloadError, OptionError
from darknet_py import shipped as shipped_module
from darknet_py.models import registry
from darknet_py.models.model_files import State, fetch_model, find_model, model_state, models_folder
from darknet_py.models.patience import Patience
from darknet_py.models.registry import Address, KnownModel, RemoteFile
from darknet_py.models.verification import check_file, record_digest, sha256
from darknet_py.shipped import BUILT_IN, resolve_model

QUICK = Patience(timeout=0.5, attempts=1)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("DARKNET_PY_MODELS_DIR", str(folder))
    monkeypatch.delenv("DARKNET_PY_OFFLINE", raising=False)
    return folder


@pytest.fixture
def served(server: FileServer, models: Path, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A server that has the tiny model, which is known by name."""
    monkeypatch.setitem(registry.MODELS, "tiny", tiny(server.url))
    offer(server)
    return server


@pytest.fixture
def undigested(server: FileServer, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    """A model whose cfg ships, of whose weights neither digest nor size is known."""
    data = tmp_path / "site" / "darknet_py" / "data" / "cfg"
    data.mkdir(parents=True)
    (data / "plain.cfg").write_text(CFG)
    monkeypatch.setattr(shipped_module, "_PACKAGE", data.parents[1])
    model = KnownModel("plain", "for tests", RemoteFile("plain.weights", (Address(f"{server.url}/plain.weights"),)))
    monkeypatch.setitem(registry.MODELS, "plain", model)
    return model


def by_hand(folder: Path, **changed: bytes) -> None:
    folder.mkdir()
    for name, content in {**FILES, **{f"tiny.{kind}": content for kind, content in changed.items()}}.items():
        (folder / name).write_bytes(content)


# The folder ---------------------------------------------------------------------------------------------------


def test_folder_of_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DARKNET_PY_MODELS_DIR", str(tmp_path))
    assert models_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DARKNET_PY_MODELS_DIR", "~/models")
    if os.name == "posix":
        assert models_folder() == tmp_path / "home" / "models"
    monkeypatch.delenv("DARKNET_PY_MODELS_DIR")
    for platform, variable, expected in (
        ("linux", "XDG_CACHE_HOME", tmp_path / "x" / "darknet-py" / "models"),
        ("win32", "LOCALAPPDATA", tmp_path / "x" / "darknet-py" / "models"),
        ("darwin", "", Path.home() / "Library" / "Caches" / "darknet-py" / "models"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        if variable:
            monkeypatch.setenv(variable, str(tmp_path / "x"))
        assert models_folder() == expected


def test_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("DARKNET_PY_MODELS_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(Path, "home", home)
    with pytest.raises(OptionError, match="set DARKNET_PY_MODELS_DIR"):
        models_folder()


# Lookup and download ------------------------------------------------------------------------------------------


def test_model_is_downloaded_once(served, models, caplog):
    caplog.set_level(logging.INFO, "darknet_py")
    found = find_model("Tiny")
    assert (found.cfg, found.weights, found.names) == tuple(
        models / f"tiny.{kind}" for kind in ("cfg", "weights", "names")
    )
    assert {file.name: file.read_bytes() for file in models.iterdir()} == FILES
    assert served.paths() == ["/tiny.cfg", "/tiny.names", "/tiny.weights"]
    assert f"asking {served.url}/tiny.weights" in caplog.text
    assert find_model("tiny") == found
    assert len(served.requests) == 3


def test_built_in_model_needs_no_download(models, built_in):
    for find in (find_model, fetch_model):
        found = find(BUILT_IN)
        assert (found.cfg, found.weights) == resolve_model()
    assert not models.exists()


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_no_download_where_it_is_forbidden(served, models, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("DARKNET_PY_OFFLINE", "1")
        with pytest.raises(DownloadError, match="DARKNET_PY_OFFLINE forbids"):
            fetch_model("tiny")
    with pytest.raises(DownloadError) as caught:
        find_model("tiny", download=how == "variable")
    said = str(caught.value)
    assert "darknet-py download tiny" in said
    assert f"{served.url}/tiny.weights" not in said  # its cfg comes first
    assert f"{served.url}/tiny.cfg" in said and f"belongs at {models / 'tiny.cfg'}" in said
    assert served.requests == []
    by_hand(models)
    assert find_model("tiny", download=False).weights == models / "tiny.weights"


def test_offline_variable_set_to_0_forbids_nothing(served, monkeypatch):
    monkeypatch.setenv("DARKNET_PY_OFFLINE", "0")
    find_model("tiny")


def test_mirror_of_ones_own(served, models):
    served.answers |= {f"/mine/{name}": ranged(content) for name, content in FILES.items()}
    served.answers["/mine/some-weights"] = ranged(FILES["tiny.weights"])
    fetch_model("tiny", urls=[f"{served.url}/mine/"])
    fetch_model("tiny", urls=[f"{served.url}/none/", f"{served.url}/mine/some-weights"], force=True)
    expected = ["/mine/tiny.cfg", "/mine/tiny.names", "/mine/tiny.weights"]
    expected += [f"/{place}/tiny.{kind}" for kind in ("cfg", "names") for place in ("none", "mine")]
    assert served.paths() == [*expected, "/none/tiny.weights", "/mine/some-weights"]
    with pytest.raises(OptionError, match="http://"):
        fetch_model("tiny", urls=["mirror.example/"])


def test_missing_names_are_no_reason_to_fail_without_a_network(served, models):
    by_hand(models)
    (models / "tiny.names").unlink()
    assert find_model("tiny", download=False).names is None


def test_model_without_an_address(models):
    with pytest.raises(DownloadError, match=r"no address is known.*44,948,600 or 44,948,596 bytes"):
        fetch_model("yolov2-tiny", patience=QUICK)


# Verification -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (weights_bytes()[:-4], r"another file, 6,192 bytes, expected 6,196 bytes"),
        (b"<html><title>Sign in</title></html>", r'a web page \("Sign in"\)'),
        (b"version https://git-lfs.github.com/spec/v1\nsize 9\n", "a Git LFS pointer"),
    ],
)
def test_wrong_file_put_there_by_hand_is_not_replaced(served, models, content, said):
    by_hand(models, weights=content)
    for find in (find_model, fetch_model):
        with pytest.raises(DownloadError, match=rf"tiny.weights: {said}.*download --force tiny"):
            find("tiny")
    assert (models / "tiny.weights").read_bytes() == content
    fetch_model("tiny", force=True)
    assert (models / "tiny.weights").read_bytes() == FILES["tiny.weights"]


def resaved() -> bytes:
    """The same network, saved after one more image."""
    content = FILES["tiny.weights"]
    return content[:12] + bytes([content[12] + 1]) + content[13:]


def test_another_digest_is_a_warning_that_names_both(served, models, caplog):
    served.answers["/tiny.weights"] = whole(resaved())
    known = registry.MODELS["tiny"].weights.digests[0]
    for _ in range(2):  # when it is downloaded, and each time it is used
        caplog.clear()
        assert find_model("tiny").weights.read_bytes() == resaved()
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert sha256(models / "tiny.weights") in record.getMessage()
        assert known in record.getMessage()


def test_cfg_of_another_digest_is_not_downloaded(served, models):
    served.answers["/tiny.cfg"] = whole(CFG.replace("classes=3", "classes=3 ").encode())
    with pytest.raises(DownloadError, match="gives another file: SHA-256"):
        find_model("tiny", patience=QUICK)
    assert not (models / "tiny.cfg").exists()


def test_size_of_the_cfg_is_asked_for_where_no_other_is_known(undigested, server, models):
    content = weights_bytes()
    server.answers["/plain.weights"] = whole(content + b"1234")
    with pytest.raises(DownloadError, match="6,200 bytes, expected 6,196 or 6,192 bytes"):
        fetch_model("plain", patience=QUICK)
    server.answers["/plain.weights"] = whole(content[:-4])  # the size of the old header, but the new one
    with pytest.raises(DownloadError, match="exactly one header field"):
        fetch_model("plain", patience=QUICK)
    server.answers["/plain.weights"] = whole(content)
    assert fetch_model("plain").weights.read_bytes() == content
    assert find_model("plain", download=False).weights == models / "plain.weights"


def test_recorded_digest_holds_until_the_file_changes(tmp_path):
    file = tmp_path / "big.weights"
    file.write_bytes(bytes(1 << 20))
    digest = sha256(file)
    record_digest(file, "f" * 64)
    known = RemoteFile("big.weights", digests=("f" * 64, digest))
    assert check_file(file, known, (), "") == "f" * 64  # not read again
    changed = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(changed, changed))
    assert check_file(file, known, (), "") == digest
    assert (tmp_path / "big.weights.sha256").read_text() == f"{digest}  big.weights\n"  # as sha256sum -c reads it


def test_state(served, models):
    model = registry.MODELS["tiny"]
    assert model_state(model, models).here is False
    served.answers["/tiny.weights"] = ranged(FILES["tiny.weights"], cut=5000)
    with pytest.raises(DownloadError):
        find_model("tiny", patience=QUICK)
    assert model_state(model, models).part == pytest.approx(5000 / 6196)
    offer(served)
    find_model("tiny")
    assert model_state(model, models) == State(True, 0.0, 6196)


# Detector.from_name -------------------------------------------------------------------------------------------


@pytest.fixture
def detected(tmp_path: Path) -> tuple[Path, object]:
    given = Model(tmp_path)
    picture = given.picture("photo.png", (1, 1))
    return picture, Detector(given.cfg, given.weights).detect(picture)


def test_detector_from_name(served, detected):
    picture, expected = detected
    detector = Detector.from_name("tiny")
    assert detector.names == ("cat", "dog", "owl")
    assert detector.detect(picture) == expected
    other = Detector.from_name("tiny", download=False, names=["a", "b", "c"], size=(64, 48), threads=1)
    assert other.names == ("a", "b", "c")
    assert tuple(other.graph.blob) == (3, 48, 64)


def test_detector_from_no_name(served, models):
    with pytest.raises(OptionError, match="no model of this name"):
        Detector.from_name("yolov99")
    with pytest.raises(DownloadError, match="downloading is switched off"):
        Detector.from_name("tiny", download=False)
    served.answers["/tiny.cfg"] = status(404)
    with pytest.raises(DownloadError, match="404 Not Found"):
        Detector.from_name("tiny")


def test_messages_of_a_model_without_weights_name_the_way(models):
    with pytest.raises(OptionError) as caught:
        Detector("yolov4-tiny")
    said = str(caught.value)
    assert said.startswith("yolov4-tiny: no weights ship for this model")
    assert "darknet-py download yolov4-tiny" in said and "Detector.from_name('yolov4-tiny')" in said
    assert os.sep + "cfg" not in said
