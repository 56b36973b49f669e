"""The cache of kernels: layers, damage of every kind, saves that fail, what is said of it and how often."""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba.core.registry import cpu_target

from darknet_py.cache import kernels as module
from darknet_py.cache.kernels import KernelCache, check_kernels
from darknet_py.cache.places import Finding, Layer, Layers
from darknet_py.cache.timings import FILE, read_timings, write_timings

REFUSED = (Finding("HERE", Path("/x"), True, True, False, "cannot be written (why not)"),)


def triple(x: int) -> int:
    return 3 * x


def layers_of(*folders: Path, writable: bool = True, refused: tuple[Finding, ...] = ()) -> Layers:
    readable = tuple(Layer(folder, named=False) for folder in folders)
    return Layers(readable, readable[-1] if writable else None, refused)


class Process:
    """A kernel as a new process has it: not compiled yet."""

    def __init__(self, layers: Layers, function: Callable[[int], int] = triple) -> None:
        self.dispatcher = numba.njit(function)
        self.dispatcher._cache = KernelCache(function, lambda: layers, lambda: None)

    def hits(self) -> int:
        assert self.dispatcher(5) == 15
        return sum(self.dispatcher.stats.cache_hits.values())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the kernel."""
    folder = tmp_path_factory.mktemp("whole")
    assert Process(layers_of(folder)).hits() == 0
    assert Process(layers_of(folder)).hits() == 1
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def kept(whole: dict[str, bytes], tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    for name, data in whole.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(autouse=True)
def untold() -> None:
    module.tell_once.cache_clear()
    module._tell_of_failure.cache_clear()


def named(folder: Path, ending: str) -> Path:
    (file,) = folder.glob(f"*{ending}")
    return file


def deep(data: bytes) -> bytes:
    return b"[" * 200_000


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: bytes(len(data)),
        lambda data: data + b"more",
        lambda data: pickle.dumps((1, 2, 3)),
        lambda data: b"\x80\x05\x8e" + b"\xff" * 8,  # a pickle that asks for 2**64 bytes
        lambda data: b"null",
        lambda data: b'{"a": 1}',
        lambda data: b"\xff\xfe",
        deep,
    ],
    ids=["empty", "half", "zeros", "more", "pickle", "huge", "null", "json", "no text", "deep"],
)
def test_a_damaged_file_is_compiled_again_and_replaced(
    kept: Path, ending: str, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    file = named(kept, ending)
    file.write_bytes(damage(file.read_bytes()))
    with caplog.at_level(logging.INFO):
        assert Process(layers_of(kept)).hits() == 0
    assert file.name in caplog.text
    assert Process(layers_of(kept)).hits() == 1
    assert not list(kept.glob("*.tmp"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_no_flipped_bit_gets_as_far_as_the_machine(kept: Path, where: float, bit: int) -> None:
    """LLVM would end the process over object code that is damaged."""
    file = named(kept, ".nbc")
    data = bytearray(file.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    file.write_bytes(data)
    assert Process(layers_of(kept)).hits() == 0


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_a_folder_where_a_file_should_be(kept: Path, ending: str) -> None:
    name = named(kept, ending)
    name.unlink()
    name.mkdir()
    assert Process(layers_of(kept)).hits() == 0
    assert Process(layers_of(kept)).hits() == 0


def test_code_that_cannot_be_rebuilt_is_compiled_again(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> object:
        raise AttributeError("of another Numba")

    with monkeypatch.context() as patch:
        patch.setattr(module.compiler.CompileResult, "_rebuild", fails)
        assert Process(layers_of(kept)).hits() == 0
    assert Process(layers_of(kept)).hits() == 1


def test_an_index_leads_to_no_other_folder(kept: Path) -> None:
    index, data = named(kept, ".nbi"), named(kept, ".nbc")
    elsewhere = kept.parent / data.name
    data.rename(elsewhere)
    for name in (str(elsewhere), f"../{data.name}"):
        index.write_text(json.dumps(dict.fromkeys(json.loads(index.read_text()), name)))
        assert Process(layers_of(kept, writable=False)).hits() == 0


def test_another_signatures_code_is_not_run(kept: Path) -> None:
    """Two processes may have taken the same name at once."""
    index = named(kept, ".nbi")
    (name,) = json.loads(index.read_text()).values()
    process = Process(layers_of(kept))
    process.dispatcher(2.5)
    keys = list(json.loads(index.read_text()))
    assert len(keys) == 2
    index.write_text(json.dumps(dict.fromkeys(keys, name)))
    again = Process(layers_of(kept))
    assert again.dispatcher(2.5) == 7.5
    assert sum(again.dispatcher.stats.cache_hits.values()) == 0


def test_a_file_that_others_may_write_to_is_not_loaded(kept: Path) -> None:
    if not hasattr(os, "geteuid"):
        pytest.skip("no owners and modes here")
    file = named(kept, ".nbc")
    file.chmod(0o666)
    assert Process(layers_of(kept)).hits() == 0
    assert file.stat().st_mode & 0o022 == 0  # replaced
    assert Process(layers_of(kept)).hits() == 1


def test_layers_are_read_in_turn_and_the_last_is_written(kept: Path, tmp_path: Path) -> None:
    empty, mine = tmp_path / "empty", tmp_path / "mine"
    for folder in (empty, mine):
        folder.mkdir(mode=0o700)
    assert Process(layers_of(empty, kept, mine)).hits() == 1
    assert not list(mine.iterdir())
    named(kept, ".nbc").write_bytes(b"")
    assert Process(layers_of(kept, mine)).hits() == 0
    assert len(list(mine.iterdir())) == 2 and named(kept, ".nbc").read_bytes() == b""
    assert Process(layers_of(kept, mine)).hits() == 1


def test_nothing_is_said_while_nothing_is_compiled(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Process(layers_of(kept, writable=False, refused=REFUSED)).hits() == 1
    assert not caplog.records


@pytest.mark.parametrize("writable", [True, False])
def test_what_is_refused_is_said_once(tmp_path: Path, writable: bool, caplog: pytest.LogCaptureFixture) -> None:
    layers = layers_of(tmp_path, writable=writable, refused=REFUSED)
    for _ in range(2):
        process = Process(layers)
        assert process.dispatcher(2.5 if _ else 5) == (7.5 if _ else 15)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "DARKNET_PY_CACHE_DIR" in record.getMessage() and "HERE (/x) cannot be written" in record.getMessage()


def test_a_save_that_fails_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_file", full)
    for _ in range(2):
        assert Process(layers_of(tmp_path)).hits() == 0
    (record,) = caplog.records
    assert "No space left on device" in record.getMessage() and "make room" in record.getMessage()


class Disturbed(set[Any]):
    """LLVM's modules, of which one comes or goes while they are looked through."""

    def __iter__(self) -> Iterator[Any]:
        rest = super().__iter__()
        first = next(rest)
        self.remove(first)
        try:
            next(rest)
        finally:
            self.add(first)
        raise AssertionError("Python looks through a set that changes")


def test_code_that_did_not_come_through_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = cpu_target.target_context.codegen()._engine._ee
    lost: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: lost.append(error.exc_value))
    numba.njit(lambda x: x + 1)(1)
    engine._modules = Disturbed(engine._modules)
    try:
        assert Process(layers_of(tmp_path)).hits() == 0
    finally:
        engine._modules = set(set.__iter__(engine._modules))
    assert {type(error) for error in lost} == {RuntimeError}
    assert not caplog.records
    assert Process(layers_of(tmp_path)).hits() == 1


def test_a_check_finds_what_is_damaged_or_left_over(kept: Path) -> None:
    layer = Layer(kept, named=False)
    assert check_kernels(layer) == (1, [])
    data = named(kept, ".nbc")
    data.write_bytes(data.read_bytes()[:-1])
    leftover = kept / "some.nbc.0123456789abcdef.tmp"
    leftover.touch()
    assert check_kernels(layer) == (0, [data, leftover])


# Timings ------------------------------------------------------------------------------------------------------

WHOLE = {"3x4": {"direct": 1.5, "F2": 0.5}}


def read(folder: Path, data: bytes) -> dict[str, dict[str, float]]:
    (folder / FILE).write_bytes(data)
    (folder / FILE).chmod(0o600)
    return read_timings(Layer(folder, named=False), {"direct", "F2"}, "direct")


def test_timings_come_back(tmp_path: Path) -> None:
    assert read_timings(Layer(tmp_path, named=False), {"direct", "F2"}, "direct") == {}
    write_timings(Layer(tmp_path, named=False), WHOLE)
    assert read_timings(Layer(tmp_path, named=False), {"direct", "F2"}, "direct") == WHOLE


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"{", b"[" * 200_000, bytes(64)])
def test_timings_that_are_none(tmp_path: Path, data: bytes) -> None:
    assert read(tmp_path, data) == {}


@pytest.mark.parametrize(
    "entry",
    [{}, [], None, 1.0, {"F2": 1.0}, {"direct": "1"}, {"direct": True}, {"direct": 0.0}, {"direct": -1.0},
     {"direct": 1.0, "F9": 1.0}, {"direct": float("nan")}, {"direct": float("inf")}, {"direct": 10**400}],
    ids=str,
)  # fmt: skip
def test_a_damaged_entry_counts_as_never_measured(tmp_path: Path, entry: Any) -> None:
    assert read(tmp_path, json.dumps({"5x6": entry, **WHOLE}).encode()) == WHOLE


def test_timings_that_cannot_be_kept(tmp_path: Path) -> None:
    write_timings(Layer(tmp_path / "not there", named=False), WHOLE)
