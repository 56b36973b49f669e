"""Where the cache may lie: homes that are not there, folders of others, folders that can be read but not written."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from darknet_py.cache import places
from darknet_py.cache.places import Finding, find_layers, survey
from darknet_py.cache.trust import Distrusted, distrust, read_file, write_file

LEAF = "kernels-0123456789abcdef-8"

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners and modes here")


@pytest.fixture(autouse=True)
def empty_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home, a temporary directory and a current directory of the test's own; no variables."""
    for variable in ("DARKNET_PY_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "TEMP", "TMP"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("home", "tmp", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(places.sys, "platform", "linux")
    monkeypatch.chdir(tmp_path / "cwd")
    old = os.umask(0o002)
    yield
    os.umask(old)


def in_tmp(tmp_path: Path) -> Path:
    return tmp_path / "tmp" / f"darknet-py-{os.getuid()}"


def kept() -> Path:
    writable = find_layers(LEAF).writable
    assert writable is not None
    return writable.folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def lock_out(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As where a file system is read only: root, too, cannot write below `folder`."""
    real_mkdir, real_file = os.mkdir, tempfile.TemporaryFile

    def mkdir(path: str, *arguments: int) -> None:
        if Path(path).is_relative_to(folder) and not os.path.lexists(path):
            raise OSError(30, "Read-only file system")
        real_mkdir(path, *arguments)

    def temporary(dir: Path) -> object:
        if Path(dir).is_relative_to(folder):
            raise OSError(30, "Read-only file system")
        return real_file(dir=dir)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)


def test_the_users_cache_is_for_this_user_alone(tmp_path: Path) -> None:
    folder = kept()
    assert folder == tmp_path / "home" / ".cache" / "darknet-py" / LEAF
    assert {mode(one) for one in (folder, folder.parent, folder.parent.parent)} == {0o700}


def test_a_relative_xdg_cache_home_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert kept().is_relative_to(tmp_path / "home")
    assert not list((tmp_path / "cwd").iterdir())


@pytest.mark.parametrize("variable", ["DARKNET_PY_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_a_tilde_is_the_home(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "~/kept")
    assert kept().is_relative_to(tmp_path / "home" / "kept")
    assert not list((tmp_path / "cwd").iterdir())


@pytest.mark.parametrize("value", ["kept", "./kept/"])
def test_a_relative_place_stays_where_it_was(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_CACHE_DIR", value)
    folder = kept()
    assert folder.is_absolute() and folder == tmp_path / "cwd" / "kept" / LEAF


@pytest.mark.parametrize("home", ["/nonexistent/home", "not/absolute", None])
def test_no_home_leaves_the_temporary_directory(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if home is None:  # nor a line in /etc/passwd
        monkeypatch.delenv("HOME")
        pwd = pytest.importorskip("pwd")
        monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    else:
        monkeypatch.setenv("HOME", home)
    layers = find_layers(LEAF)
    assert layers.writable is not None and layers.writable.folder == in_tmp(tmp_path) / LEAF
    assert [finding.origin for finding in layers.refused] == ["the user's cache"]
    assert not Path("/nonexistent").exists()
    assert mode(in_tmp(tmp_path)) == 0o700


@pytest.mark.parametrize("value", ["~nobody-of-this-name/x", "below a file/x", "a\nb/" + 300 * "x"])
def test_an_impossible_place_is_passed_over(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd" / "below a file").touch()
    monkeypatch.setenv("DARKNET_PY_CACHE_DIR", value)
    layers = find_layers(LEAF)
    assert layers.writable is not None and layers.writable.folder.is_relative_to(tmp_path / "home")
    assert [finding.origin for finding in layers.refused] == ["DARKNET_PY_CACHE_DIR"]
    assert layers.refused[0].reason


def test_a_current_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_CACHE_DIR", "relative")
    (tmp_path / "cwd").rmdir()
    assert kept().is_relative_to(tmp_path / "home")


def test_the_current_directory_is_no_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python falls back to it where there is none."""
    monkeypatch.setenv("HOME", "/nonexistent/home")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "cwd"))
    layers = find_layers(LEAF)
    assert layers.writable is None and layers.readable == ()
    assert [finding.origin for finding in layers.refused] == ["the user's cache", "the temporary directory"]
    assert not list((tmp_path / "cwd").iterdir())


def test_no_temporary_directory_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setenv("HOME", "/nonexistent/home")
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert find_layers(LEAF).writable is None


def test_what_can_be_read_but_not_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baked = tmp_path / "baked"
    monkeypatch.setenv("DARKNET_PY_CACHE_DIR", str(baked))
    folder = kept()
    lock_out(monkeypatch, baked)
    layers = find_layers(LEAF)
    assert layers.writable is not None and layers.writable.folder.is_relative_to(tmp_path / "home")
    assert [layer.folder for layer in layers.readable] == [folder, layers.writable.folder]
    assert "cannot be written (Read-only file system)" in str(layers.refused[0])


def test_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_out(monkeypatch, tmp_path)
    layers = find_layers(LEAF)
    assert layers.writable is None and layers.readable == () and len(layers.refused) == 2


def test_nothing_is_asked_behind_the_first_that_can_be_written(tmp_path: Path) -> None:
    assert len(find_layers(LEAF).readable) == 1
    assert not in_tmp(tmp_path).exists()


def test_looking_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKNET_PY_CACHE_DIR", str(tmp_path / "kept"))
    findings = survey(LEAF)
    assert [finding.writable for finding in findings] == [True, True, True]
    assert not any(finding.readable for finding in findings)
    assert not list((tmp_path / "home").iterdir()) and not (tmp_path / "kept").exists()


# Who is trusted -----------------------------------------------------------------------------------------------


def fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nonexistent/home")


@pytest.mark.parametrize("others", [0o777, 0o770, 0o1777, 0o702])
def test_a_temporary_folder_that_others_may_write_to(
    others: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fall_back(monkeypatch)
    in_tmp(tmp_path).mkdir()
    in_tmp(tmp_path).chmod(others)
    layers = find_layers(LEAF)
    assert "may be written to by" in str(layers.refused[-1])
    assert not list(in_tmp(tmp_path).iterdir())
    assert_own_place(tmp_path)


def assert_own_place(tmp_path: Path) -> None:
    """One of another name, which later processes find again."""
    folder = kept()
    assert folder.parent.parent == tmp_path / "tmp" and folder.parent != in_tmp(tmp_path)
    assert mode(folder) == mode(folder.parent) == 0o700
    assert kept() == folder
    assert [finding.folder for finding in survey(LEAF) if finding.writable] == [folder]
    folder.parent.chmod(0o777)
    assert kept().parent not in (folder.parent, in_tmp(tmp_path))


def test_a_link_in_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fall_back(monkeypatch)
    (tmp_path / "mine").mkdir(mode=0o700)
    in_tmp(tmp_path).symlink_to(tmp_path / "mine")
    assert "is not a real directory" in str(find_layers(LEAF).refused[-1])
    assert not list((tmp_path / "mine").iterdir())
    assert_own_place(tmp_path)


def test_two_processes_may_make_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def beaten(path: str, mode: int) -> None:
        if os.path.exists(os.path.dirname(path)):
            real(path, mode)  # the other one's
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", beaten)
    assert kept().is_relative_to(tmp_path / "home") and not find_layers(LEAF).refused


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can play several users")
@pytest.mark.parametrize("owner", [12345, 0])
@pytest.mark.parametrize("named", [True, False])
def test_a_folder_of_another_user(owner: int, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's is as good as ours where a variable names it: it came with a container image."""
    monkeypatch.setenv("DARKNET_PY_CACHE_DIR", str(tmp_path / "kept"))
    folder = tmp_path / ("kept" if named else "home/.cache/darknet-py") / LEAF
    folder.mkdir(parents=True, mode=0o755)
    os.chown(folder, owner, owner)
    folder.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    found = {finding.origin: finding for finding in survey(LEAF)}
    finding = found["DARKNET_PY_CACHE_DIR" if named else "the user's cache"]
    assert finding.readable == (named and owner == 0)
    assert finding.readable or f"belongs to user {owner}" in str(finding)


def status(uid: int, gid: int, permissions: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | permissions, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("uid", "gid", "permissions", "named", "trusted"),
    [
        (4321, 4321, 0o644, False, True),
        (4321, 4321, 0o664, False, False),  # whoever is in the group
        (4321, 0, 0o664, False, False),
        (4321, 4321, 0o646, False, False),
        (0, 0, 0o644, False, False),
        (0, 0, 0o644, True, True),
        (0, 0, 0o664, True, True),  # an image made for any user id: chmod g=u
        (0, 50, 0o664, True, False),
        (0, 0, 0o666, True, False),
        (12345, 0, 0o644, True, False),
    ],
)
def test_trust(
    uid: int, gid: int, permissions: int, named: bool, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert (distrust(status(uid, gid, permissions), named) is None) == trusted


def test_files_are_written_wholly_and_read_with_care(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write_file(file, b"one")
    assert read_file(file, named=False) == b"one" and mode(file) == 0o644
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            write_file(file, b"two")
    assert read_file(file, named=False) == b"one" and not list(tmp_path.glob("*.tmp"))
    other = tmp_path / "other"
    other.write_bytes(b"another's")
    file.unlink()
    file.symlink_to(other)
    write_file(file, b"two")
    assert other.read_bytes() == b"another's" and not file.is_symlink()
    file.chmod(0o666)
    write_file(file, b"three")  # which has a mode of its own, not that of what was there
    assert read_file(file, named=False) == b"three" and mode(file) == 0o644
    file.chmod(0o666)
    with pytest.raises(Distrusted, match="everybody"):
        read_file(file, named=False)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Distrusted, match="not a file"):
        read_file(tmp_path / "pipe", named=False)


def test_a_finding_says_where_and_why() -> None:
    assert str(Finding("HERE", Path("/x"), True, False, False, "is odd")) == "HERE (/x) is odd"
    assert str(Finding("HERE", None, True, False, False, "is odd")) == "HERE is odd"
