"""DropBlock and CmBN against plain loops, closed forms and central differences."""

from __future__ import annotations

import numpy as np
import pytest
from networks import Floats
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from training.cmbn import CmBN, start_batch  # noqa: E402
from training.dropblock import DropBlock  # noqa: E402

pytestmark = pytest.mark.usefixtures("torch_on_one_thread")


# DropBlock --------------------------------------------------------------------------------------------------


def dropped_share(height: int, width: int, side: int, probability: float) -> float:
    """Expected share of dropped values: each cell survives if no square that covers it is drawn."""
    gamma = probability / side**2 * height * width / ((height - side + 1) * (width - side + 1))
    share = 0.0
    for row in range(height):
        for col in range(width):
            rows = min(row, height - side) - max(0, row - side + 1) + 1
            cols = min(col, width - side) - max(0, col - side + 1) + 1
            share += 1 - (1 - gamma) ** (rows * cols)
    return share / (height * width)


@pytest.mark.parametrize(("height", "width", "side"), [(13, 13, 7), (10, 17, 3), (6, 4, 1), (5, 5, 5)])
def test_dropblock_rate(height: int, width: int, side: int) -> None:
    y = DropBlock(0.1, side)(torch.ones(60, 60, height, width))
    assert (y == 0).float().mean().item() == pytest.approx(dropped_share(height, width, side, 0.1), rel=0.06)


def test_dropblock_drops_squares_and_keeps_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask that plain loops draw from the same random numbers."""
    drop, x = DropBlock(0.3, 3), torch.rand(2, 3, 9, 7) + 0.5
    places = torch.rand(2, 3, 7, 5)
    gamma = 0.3 / 9 * 63 / 35
    mask = np.ones((2, 3, 9, 7))
    for image, channel, row, col in np.ndindex(2, 3, 7, 5):
        if places[image, channel, row, col] < gamma:
            mask[image, channel, row : row + 3, col : col + 3] = 0
    expected = x.numpy() * mask * (mask[0].size / mask.sum((1, 2, 3), keepdims=True))
    monkeypatch.setattr(torch, "rand", lambda *_, **__: places)
    np.testing.assert_allclose(drop(x).numpy(), expected, rtol=1e-5)


def test_dropblock_identity() -> None:
    x = torch.rand(2, 3, 8, 8)
    drop = DropBlock(0.5, 3)
    assert drop.eval()(x) is x
    drop.train().ramp = 0
    assert drop(x) is x


def test_dropblock_gradient_and_a_lost_image() -> None:
    x = torch.rand(1, 4, 8, 8, requires_grad=True)
    y = DropBlock(0.3, 3)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)
    assert not DropBlock(0.99, 8)(torch.ones(1, 1, 8, 8)).isnan().any()


# CmBN -------------------------------------------------------------------------------------------------------


def normalized(norm: CmBN, seen: list[Floats]) -> NDArray[np.float64]:
    """The last mini-batch, normalised with the statistics of all values seen, in float64."""
    values = np.concatenate([x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1) for x in seen], 1).astype(np.float64)
    mean, variance = values.mean(1), values.var(1)
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    factor = weight / np.sqrt(variance + 1e-5)
    return (seen[-1] - mean[:, None, None]) * factor[:, None, None] + bias[:, None, None]


def random_norm(channels: int = 3) -> CmBN:
    norm = CmBN(channels)
    torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    torch.nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("sizes", [[2, 2], [1, 3, 2], [2, 2, 2, 2]])
def test_cmbn_pools_the_mini_batches_of_one_batch(sizes: list[int]) -> None:
    norm, random = random_norm(), np.random.default_rng(1)
    mean, variance = np.zeros(3), np.ones(3)
    for _ in range(2):
        start_batch(torch.nn.Sequential(norm))
        seen: list[Floats] = []
        for size in sizes:
            seen.append((random.standard_normal((size, 3, 4, 5)) * 2 + 30).astype(np.float32))
            np.testing.assert_allclose(norm(torch.from_numpy(seen[-1])).detach(), normalized(norm, seen), atol=1e-4)
        whole = np.concatenate(seen).astype(np.float64)
        mean = 0.97 * mean + 0.03 * whole.mean((0, 2, 3))
        variance = 0.97 * variance + 0.03 * whole.var((0, 2, 3), ddof=1)
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-5)
        np.testing.assert_allclose(norm.running_var, variance, rtol=1e-4)


def test_cmbn_with_one_mini_batch_is_batch_norm() -> None:
    norm, plain = random_norm(), torch.nn.BatchNorm2d(3, momentum=0.03)
    plain.load_state_dict(norm.state_dict())
    for scale in (1, 5, 3):
        x, y = (torch.randn(4, 3, 5, 6).mul_(scale).requires_grad_() for _ in range(2))
        y.data.copy_(x.data)
        norm.start_batch()
        found, expected = norm(x), plain(y)
        torch.testing.assert_close(found, expected)
        found.sin().sum().backward()
        expected.sin().sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
        torch.testing.assert_close(norm.running_mean, plain.running_mean)
        torch.testing.assert_close(norm.running_var, plain.running_var)
    torch.testing.assert_close(norm.eval()(x), plain.eval()(y))


def test_cmbn_gradient_is_that_of_the_present_mini_batch() -> None:
    """Central differences of the naive formula, in which earlier mini-batches are constants."""
    norm, random = random_norm(2), np.random.default_rng(2)
    first, second = (random.standard_normal((2, 2, 2, 3)).astype(np.float32) for _ in range(2))
    pull = random.standard_normal(second.shape)
    earlier, present = (torch.from_numpy(x.copy()).requires_grad_() for x in (first, second))
    norm(earlier)
    (norm(present) * torch.from_numpy(pull)).sum().backward()
    assert earlier.grad is None

    def loss(x: NDArray[np.float64]) -> float:
        return float((normalized(norm, [first.astype(np.float64), x]) * pull).sum())

    for index in np.ndindex(second.shape):
        step = np.zeros(second.shape)
        step[index] = 1e-5
        slope = (loss(second + step) - loss(second - step)) / 2e-5
        assert present.grad is not None
        assert present.grad[index].item() == pytest.approx(slope, abs=1e-3)
    assert norm.weight.grad is not None and norm.bias.grad is not None
    np.testing.assert_allclose(norm.bias.grad, pull.sum((0, 2, 3)), rtol=1e-5)


def test_cmbn_backward_may_come_late() -> None:
    """The losses of a batch may be summed and differentiated at its end."""
    batches = [torch.randn(2, 3, 4, 4) for _ in range(3)]
    norm = random_norm()
    for x in batches:
        norm(x).sin().sum().backward()
    at_once = norm.weight.grad.clone()
    norm.zero_grad()
    norm.start_batch()
    sum(norm(x).sin().sum() for x in batches).backward()
    torch.testing.assert_close(norm.weight.grad, at_once)


def test_cmbn_of_a_single_value() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        CmBN(2)(torch.ones(1, 2, 1, 1))
