"""Training as a whole: options, schedule, self-adversarial pictures, and a miniature of twenty steps."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from darknet_py import Network  # noqa: E402
from darknet_py.cfg import parse_cfg  # noqa: E402
from darknet_py.errors import CfgError  # noqa: E402
from darknet_py.graph import load_graph  # noqa: E402
from darknet_py.weights import WeightsFile  # noqa: E402
from training import codes  # noqa: E402
from training.adversarial import deceive, is_adversarial  # noqa: E402
from training.average import MovingAverage  # noqa: E402
from training.checkpoint import CheckpointError  # noqa: E402
from training.evaluate import main as evaluate_command  # noqa: E402
from training.options import TrainOptions, read_options  # noqa: E402
from training.schedule import learning_rate, training_size  # noqa: E402
from training.train import main as train_command  # noqa: E402
from training.train import read_log  # noqa: E402
from training.trainer import Trainer, TrainingError  # noqa: E402

CFG = """
[net]
width=96
height=64
channels=3
batch=4
subdivisions={subdivisions}
learning_rate={rate}
max_batches=20
burn_in=4
policy=sgdr
momentum=0.9
decay=0.0005
ema_alpha=0.5
mosaic=1
resize_step=16
hue=.1
saturation=1.5
exposure=1.5
adversarial_lr={adversarial}
[convolutional]
batch_normalize={normalize}
filters=8
size=3
stride=2
pad=1
activation=mish
[convolutional]
batch_normalize={normalize}
filters=16
size=3
stride=2
pad=1
activation=mish
[convolutional]
batch_normalize={normalize}
filters=16
size=3
stride=2
pad=1
activation=mish
[convolutional]
filters=14
size=1
stride=1
activation=linear
[yolo]
mask=0,1
anchors=16,16, 32,24
classes=2
num=2
scale_x_y=1.2
iou_loss=ciou
iou_normalizer=0.07
random=1.3
jitter=.1
"""


def options(text: str) -> TrainOptions:
    return read_options(parse_cfg(text))[0]


def write_cfg(
    folder: Path, rate: float = 0.01, adversarial: float = 0.0, subdivisions: int = 1, normalize: int = 1
) -> Path:
    path = folder / "small.cfg"
    text = CFG.format(rate=rate, adversarial=adversarial, subdivisions=subdivisions, normalize=normalize)
    path.write_text(text)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve pictures with a red square (class 0) or a wider green one (class 1)."""
    rng = np.random.default_rng(0)
    names = []
    for n in range(12):
        image = rng.integers(0, 60, (70, 110, 3), np.uint8)
        class_id = n % 2
        w, h = ((18, 18), (34, 26))[class_id]
        x, y = int(rng.integers(2, 108 - w)), int(rng.integers(2, 68 - h))
        image[y : y + h, x : x + w] = ((20, 20, 230), (20, 230, 20))[class_id]
        cv2.imwrite(str(tmp_path / f"{n}.png"), image)
        centre = f"{(x + w / 2) / 110} {(y + h / 2) / 70} {w / 110} {h / 70}"
        (tmp_path / f"{n}.txt").write_text(f"{class_id} {centre}\n")
        names.append(f"{n}.png")
    (tmp_path / "train.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "small.names").write_text("red\ngreen\n")
    path = tmp_path / "small.data"
    path.write_text("classes=2\ntrain=train.txt\nvalid=train.txt\nnames=small.names\n")
    return path


def run(cfg: Path, data: Path, out: Path, *more: str) -> str:
    command = [str(cfg), str(data), "--out", str(out), "--threads", "1", *more]
    result = CliRunner().invoke(train_command, command)
    assert result.exit_code == 0, result.output
    return result.output


def test_options_keep_darknets_meaning() -> None:
    found = options(CFG.format(rate=0.1, adversarial=0.5, subdivisions=2, normalize=1))
    assert (found.size, found.batch, found.mini_batch) == ((96, 64), 4, 2)
    assert found.augment.mosaic == 0.5 and found.augment.jitter == 0.1 and found.augment.flip == 1
    assert found.random == 1.3 and found.adversarial_lr == 0.5
    assert options(CFG.format(rate=1, adversarial=0, subdivisions=1, normalize=1).replace("=1.3", "=1")).random == 1.4
    losses = read_options(parse_cfg(CFG.format(rate=1, adversarial=0, subdivisions=1, normalize=1)))[1]
    assert [(loss.mask, loss.classes, loss.scale_x_y) for loss in losses] == [((0, 1), 2, 1.2)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("batch=4", "batch=5", "cannot be cut"),
        ("policy=sgdr", "policy=poly", "expected one of"),
        ("policy=sgdr", "policy=steps\nsteps=1,2\nscales=.1", "one scale per step"),
        ("max_batches=20", "max_batches=0", "at least 1"),
    ],
)
def test_bad_options_are_errors_with_a_line(old: str, new: str, message: str) -> None:
    text = CFG.format(rate=1, adversarial=0, subdivisions=2, normalize=1).replace(old, new)
    with pytest.raises(CfgError, match=message):
        options(text)


def test_a_cfg_without_head_cannot_be_trained() -> None:
    with pytest.raises(CfgError, match="yolo"):
        options("[net]\nwidth=8\nheight=8\nchannels=3\nmax_batches=1\n[convolutional]\n")


@given(st.integers(0, 19))
def test_learning_rate(iteration: int) -> None:
    base = CFG.format(rate=0.1, adversarial=0, subdivisions=1, normalize=1)
    found = learning_rate(options(base), iteration)
    if iteration < 4:
        assert math.isclose(found, 0.1 * ((iteration + 1) / 4) ** 4)
    else:
        expected = 0.00001 + (0.1 - 0.00001) / 2 * (1 + math.cos(math.pi * (iteration - 4) / 16))
        assert math.isclose(found, expected)
    steps = options(base.replace("policy=sgdr", "policy=steps\nsteps=8,12\nscales=.1,.5").replace("burn_in=4", ""))
    wanted = 0.1 if iteration < 8 else 0.01 if iteration < 12 else 0.005
    assert math.isclose(learning_rate(steps, iteration), wanted)


def test_training_sizes_vary_by_tens_of_iterations() -> None:
    found = options(CFG.format(rate=1, adversarial=0, subdivisions=1, normalize=1))
    sizes = [training_size(found, iteration, seed=3) for iteration in range(400)]
    assert all(len(set(sizes[n : n + 10])) == 1 for n in range(0, 400, 10))
    assert {w for w, _ in sizes} == {80, 96, 112, 128} and {h for _, h in sizes} == {48, 64, 80}
    assert sizes == [training_size(found, iteration, seed=3) for iteration in range(400)]


def test_deceived_pictures_hide_the_object(tmp_path: Path) -> None:
    trainer = Trainer(write_cfg(tmp_path))
    # A small slope, so that the loss is monotonic along the step.
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}

    def loss(heads: list[torch.Tensor]) -> torch.Tensor:
        return sum(head[:, 4::7].sigmoid().sum() for head in heads)

    changed = deceive(trainer.network.train(), images, loss, 0.02)
    trainer.network.eval()
    with torch.no_grad():
        assert loss(trainer.network(changed)) < loss(trainer.network(images))
    assert torch.all((changed - images).abs() <= 0.02 + 1e-6) and changed.min() >= 0 and changed.max() <= 1
    assert all(torch.equal(before[name], value) for name, value in trainer.network.state_dict().items())
    assert all(p.grad is None for p in trainer.network.parameters())


def test_half_of_the_batches_are_adversarial_after_the_burn_in() -> None:
    chosen = [is_adversarial(n, 100, seed=1) for n in range(1000)]
    assert not any(chosen[:101]) and 380 < sum(chosen) < 520


def test_moving_average_follows() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    average = MovingAverage(layer, 0.5)
    value = expected = layer.weight.item()
    for n in range(1, 30):
        value += 1
        torch.nn.init.constant_(layer.weight, value)
        average.update(layer)
        alpha = min(0.5, (1 + n) / (10 + n))
        expected = alpha * expected + (1 - alpha) * value
    assert math.isclose(average.network.weight.item(), expected, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("adversarial", "subdivisions", "normalize", "adam"),
    [(0.0, 1, 1, 0), (0.01, 2, 2, 0), (0.0, 1, 1, 1)],
    ids=["plain", "SAT and CmBN", "Adam"],
)
def test_twenty_steps(
    tmp_path: Path, data: Path, adversarial: float, subdivisions: int, normalize: int, adam: int
) -> None:
    cfg = write_cfg(tmp_path, adversarial=adversarial, subdivisions=subdivisions, normalize=normalize)
    cfg.write_text(cfg.read_text().replace("momentum=0.9", f"momentum=0.9\nadam={adam}"))
    out = tmp_path / "out"
    assert "80 pictures seen" in run(cfg, data, out, "--evaluate-every", "20")
    rows = read_log(out / "log.jsonl")
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0] and {"AP50", "AP50 red", "AP"} <= set(rows[-1])
    with WeightsFile(out / "small.weights", load_graph(cfg)) as file:
        assert file.seen == 80
    heads = Network(cfg, out / "small.weights").run(np.zeros((3, 64, 96), np.float32))
    assert all(np.isfinite(head).all() for head in heads)


def test_a_stopped_training_goes_on_to_the_bit(tmp_path: Path, data: Path) -> None:
    cfg = write_cfg(tmp_path)
    run(cfg, data, tmp_path / "whole", "--evaluate-every", "0", "--save-every", "5")
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    torch.set_num_threads(1)
    interrupted(cfg, data, stopped, 13)
    with (stopped / "log.jsonl").open("a") as file:
        file.write('{"iteration": 14, "lo')  # cut short, as a stop may leave it
    assert "going on from iteration 10 of 20" in run(cfg, data, stopped, "--evaluate-every", "0", "--save-every", "5")
    assert (stopped / "small.weights").read_bytes() == (tmp_path / "whole" / "small.weights").read_bytes()
    assert [row["iteration"] for row in read_log(stopped / "log.jsonl")] == [9, 19]


def interrupted(cfg: Path, data: Path, out: Path, iterations: int) -> None:
    from training.datafile import read_data
    from training.train import train

    running = train(Trainer(cfg), read_data(data), out, {}, save_every=5, evaluate_every=0)
    for _, progress in zip(range(iterations), running, strict=False):
        assert progress.loss > 0
    running.close()


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    Trainer(write_cfg(tmp_path)).save(tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="another cfg"):
        Trainer(write_cfg(tmp_path, rate=0.5)).resume(tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="another seed"):
        Trainer(write_cfg(tmp_path), seed=1).resume(tmp_path / "checkpoint.pt")
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="remove it to start anew"):
        Trainer(write_cfg(tmp_path)).resume(tmp_path / "checkpoint.pt")


def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path) -> None:
    trainer = Trainer(write_cfg(tmp_path))
    images = np.full((4, 3, 64, 96), np.nan, np.float32)
    with pytest.raises(TrainingError, match="lower learning_rate"):
        trainer.step(images, np.array([[0, 1, 0.5, 0.5, 0.2, 0.2]], np.float32))


def test_weights_to_start_from(tmp_path: Path, data: Path) -> None:
    cfg = write_cfg(tmp_path)
    run(cfg, data, tmp_path / "first", "--evaluate-every", "0")
    weights = tmp_path / "first" / "small.weights"
    with WeightsFile(weights, load_graph(cfg)) as source:
        trainer = Trainer(cfg, start=source)
    trainer.write(tmp_path / "copy.weights")
    assert (tmp_path / "copy.weights").read_bytes()[20:] == weights.read_bytes()[20:]


def test_a_bad_label_is_a_line_not_a_traceback(tmp_path: Path, data: Path) -> None:
    for n in range(12):
        (tmp_path / f"{n}.txt").write_text("7 .5 .5 .1 .1\n")
    command = [str(write_cfg(tmp_path)), str(data), "--out", str(tmp_path / "out"), "--threads", "1"]
    result = CliRunner().invoke(train_command, command)
    assert result.exit_code == 1 and ".txt:1" in result.output and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (("train=train.txt\n", ""), [], "no training list"),
        (("valid=train.txt", "valid=missing.txt"), [], "missing.txt"),
        (("classes=2\n", "classes=3\n"), [], "classes=2, but the data file has 3"),
        (("", ""), ["--save-every", "0"], "--save-every"),
        (("", ""), ["--evaluate-every", "-1"], "--evaluate-every"),
        (("", ""), ["--threads", "0"], "--threads"),
    ],
)
def test_mistakes_are_said_before_the_training(
    tmp_path: Path, data: Path, change: tuple[str, str], arguments: list[str], said: str
) -> None:
    data.write_text(data.read_text().replace(*change).replace("names=small.names", "# names=small.names"))
    command = [str(write_cfg(tmp_path)), str(data), "--out", str(tmp_path / "out"), "--threads", "1", *arguments]
    result = CliRunner().invoke(train_command, command)
    assert result.exit_code in (1, 2) and said in result.output and "Traceback" not in result.output
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_sets_that_a_stop_left_half_made_go_on_or_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(codes, "_run", lambda *arguments: called.append(arguments))
    codes._generate("scenes", tmp_path, 5, 0, 1)
    (tmp_path / "making.json").touch()
    codes._generate("scenes", tmp_path, 5, 0, 1)
    (tmp_path / "making.json").rename(tmp_path / "made.json")
    codes._generate("scenes", tmp_path, 5, 0, 1)
    assert ["--force" in arguments for arguments in called] == [True, False, False]


def test_a_training_that_is_done_is_left_alone(tmp_path: Path, data: Path) -> None:
    cfg, out = write_cfg(tmp_path), tmp_path / "out"
    run(cfg, data, out, "--evaluate-every", "0")
    before = (out / "small.weights").read_bytes()
    assert "already trained: name another --out" in run(cfg, data, out)
    assert (out / "small.weights").read_bytes() == before


def test_evaluate_command(tmp_path: Path, data: Path) -> None:
    cfg = write_cfg(tmp_path)
    Trainer(cfg).write(tmp_path / "small.weights")
    result = CliRunner().invoke(evaluate_command, [str(cfg), str(tmp_path / "small.weights"), str(data)])
    assert result.exit_code == 0, result.output
    values = dict(line.rsplit(maxsplit=1) for line in result.output.splitlines())
    # Random weights find nothing; a detector of everything would not have thirty boxes a picture either.
    assert set(values) == {"AP50", "AP75", "AP", "AP50 red", "AP50 green"} and 0 <= float(values["AP50"]) < 0.5
