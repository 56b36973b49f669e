"""Ended early by Ctrl-C, SIGTERM, a closed terminal, at any moment: what was done is kept, nothing else is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Model, run

from darknet_py import Detector
from darknet_py.cli.stopping import Stopped, check_stopped, stopping, time_limit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of another kind")

ROOT = Path(__file__).parents[1]
CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def none_goes_on() -> Iterator[None]:
    yield
    for running in _started:
        if running.poll() is None:
            running.kill()
            running.communicate()
    _started.clear()


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "model").mkdir()
    return Model(tmp_path / "model")


def start(*arguments: object, before: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "darknet_py", *map(str, arguments)]
    if before:  # such as nohup, which lets it ignore a signal
        command = ["sh", "-c", f'{before}; exec "$@"', "sh", *command]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    _started.append(running)
    return running


def detect(model: Model, count: int, *options: object, before: str = "") -> subprocess.Popen[str]:
    pictures = [model.picture("photo.png", (1, 1))] * count
    return start("detect", "--cfg", model.cfg, "--weights", model.weights, *options, *pictures, before=before)


@pytest.mark.parametrize("name", CODES)
def test_what_was_done_is_kept(name: str, model: Model, tmp_path: Path) -> None:
    target, out = tmp_path / "found.json", tmp_path / "drawn"
    target.write_text("of before")
    running = detect(model, 3000, "--json", target, "--out", out)
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(getattr(signal, name))
    _, errors = running.communicate(timeout=100)
    records = json.loads(target.read_text())
    assert running.returncode == CODES[name]
    (line,) = filter(None, errors.splitlines())
    assert line == f"{target} holds the {len(records)} of 3000 pictures that were done"
    assert [record["frame_id"] for record in records] == list(range(1, len(records) + 1))
    assert {path.name for path in tmp_path.iterdir()} == {"model", "found.json", "drawn"}
    assert abs(len(list(out.iterdir())) - len(records)) <= 1  # of the last it may have come no further
    assert all(path.suffix == ".png" and not path.name.startswith(".") for path in out.iterdir())


def test_nothing_done_leaves_the_file_of_before(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "found.json"
    target.write_text("of before")

    def terminated(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(Detector, "detect", terminated)
    result = model.detect("--json", target, model.picture("photo.png"))
    assert (result.exit_code, result.stderr.strip()) == (143, "")
    assert target.read_text() == "of before"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_closed_terminal_that_was_to_be_ignored(model: Model, tmp_path: Path) -> None:
    running = detect(model, 300, "--json", tmp_path / "found.json", before='trap "" HUP')
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGHUP)
    _, errors = running.communicate(timeout=100)
    assert (running.returncode, errors) == (0, "")
    assert len(json.loads((tmp_path / "found.json").read_text())) == 300


def test_a_reader_that_has_enough_leaves_the_json_whole(model: Model, tmp_path: Path) -> None:
    running = detect(model, 3000, "--json", tmp_path / "found.json")
    assert running.stdout is not None and running.stderr is not None
    running.stdout.readline()
    running.stdout.close()
    errors = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=100) == 1
    records = json.loads((tmp_path / "found.json").read_text())
    assert f"holds the {len(records)} of 3000 pictures" in errors and 0 < len(records) < 3000


def finish(running: subprocess.Popen[str]) -> None:
    _, errors = running.communicate(timeout=100)
    assert (running.returncode, errors) == (0, "")


def at_random_moments(model: Model, folder: Path, moments: int, seed: int) -> None:
    """What is left is the file of before, or a whole array of the first pictures; then a run gives all."""
    chance = random.Random(seed)
    target = folder / "found.json"
    start_of_run = time.perf_counter()
    finish(detect(model, 40, "--json", target))
    whole, right = time.perf_counter() - start_of_run, json.loads(target.read_text())
    for moment in range(moments):
        target.write_text("of before")
        name = chance.choice(sorted(CODES))
        running = detect(model, 40, "--json", target, "--out", folder / "drawn")
        time.sleep(chance.uniform(0, 1.3 * whole))
        running.send_signal(getattr(signal, name))
        _, errors = running.communicate(timeout=100)
        where = f"seed {seed}, moment {moment}, {name}, {running.returncode}: {errors}"
        # Before Python runs anything of ours, and after all is done, it ends as it would without us.
        assert running.returncode in (0, CODES[name], -getattr(signal, name)), where
        ours = running.returncode != -getattr(signal, name)
        assert not ours or ("Traceback" not in errors and "Exception" not in errors), where
        text = target.read_text()
        if text != "of before":
            records = json.loads(text)
            assert records == right[: len(records)], where
            assert records or running.returncode == 0, where
        assert not [path.name for path in folder.rglob(".*")], where
        assert {path.name for path in folder.iterdir()} <= {"found.json", "drawn", "model"}, where
    finish(detect(model, 40, "--json", target))
    assert json.loads(target.read_text()) == right


def test_random_moments(model: Model, tmp_path: Path) -> None:
    at_random_moments(model, tmp_path, 4, seed=1)


@pytest.mark.slow
def test_many_random_moments(model: Model, tmp_path: Path) -> None:
    at_random_moments(model, tmp_path, 40, seed=2)


def await_handlers(running: subprocess.Popen[str]) -> None:
    """Sleep until the process catches SIGTERM: before, it ends as any Python that is still starting."""
    status, caught = Path(f"/proc/{running.pid}/status"), 1 << (signal.SIGTERM - 1)
    for _ in range(1000):
        if not status.exists():  # not Linux
            time.sleep(5)
            return
        mask = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(mask.split()[1], 16) & caught or running.poll() is not None:
            return
        time.sleep(0.02)


@pytest.mark.parametrize("pause", [0, 0.2])
def test_commands_without_results_end_as_well(pause: float, model: Model) -> None:
    for arguments in (["bench", model.cfg, "--repeat", 10_000, "--threads", "1"], ["warmup", model.cfg]):
        running = start(*arguments)
        await_handlers(running)
        time.sleep(pause)
        running.terminate()
        _, errors = running.communicate(timeout=100)
        assert running.returncode in (143, 0) and "Traceback" not in errors


# The pieces ---------------------------------------------------------------------------------------------------


def test_a_stop_that_was_swallowed_is_raised_again(capsys: pytest.CaptureFixture[str]) -> None:
    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    def swallow() -> None:
        with stopping():
            Finalized()
            check_stopped()

    with pytest.raises(Stopped) as caught:
        swallow()
    assert caught.value.number == signal.SIGTERM
    assert capsys.readouterr() == ("", "")
    check_stopped()  # forgotten once it was obeyed


def test_a_stop_that_comes_twice_is_one() -> None:
    cleaned: list[bool] = []

    def stop_twice() -> None:
        with stopping():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
                cleaned.append(True)

    with pytest.raises(Stopped):
        stop_twice()
    assert cleaned


def test_other_threads_and_programs_with_handlers_of_their_own_are_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with stopping():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run("inspect", "yolov4-tiny").exit_code))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_time_limit() -> None:
    def wait() -> None:
        with stopping(), time_limit(0.05):
            while True:
                time.sleep(0.001)

    with pytest.raises(TimeoutError):
        wait()
    with time_limit(100):
        pass
    with pytest.raises(KeyError), time_limit(100):
        raise KeyError
