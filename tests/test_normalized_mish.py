"""Batch norm and Mish in one, against PyTorch's own two in double precision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from torch import nn  # noqa: E402

from training.normalized_mish import CHUNK, normalized_mish  # noqa: E402

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.usefixtures("torch_on_one_thread")


def norms(channels: int) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    ours = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.03)
    nn.init.normal_(ours.weight, 1, 0.5)
    nn.init.normal_(ours.bias)
    theirs = nn.BatchNorm2d(channels, eps=1e-5, momentum=0.03).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Within 1e-6 of the largest value."""
    theirs = theirs.detach().double()
    bound = 1e-6 * float(theirs.abs().max()) + 1e-12
    torch.testing.assert_close(ours.detach().double(), theirs, rtol=0, atol=bound)


SHAPES = [(3, 12, 7, 5), (2, 8, 65, 64), (4, 1, 5, 9), (1, 80, 3, 3), (5, 3, 1, 1), (7, 24, 26, 26)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_as_in_pytorch(shape: tuple[int, ...], channels_last: bool, threads: int) -> None:
    """The value, the slopes of everything it depends on, and the running statistics."""
    torch.set_num_threads(threads)
    ours, theirs = norms(shape[1])
    x = torch.randn(shape) * 4 + 3 * torch.randn(1, shape[1], 1, 1)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    exact = x.double().requires_grad_()
    x.requires_grad_()
    gradient = torch.randn(shape)
    y, wanted = normalized_mish(x, ours), torch.nn.functional.mish(theirs(exact))
    y.backward(gradient)
    wanted.backward(gradient.double())
    assert x.grad is not None and exact.grad is not None
    for found, right in [(y, wanted), (x.grad, exact.grad)]:
        assert_close(found, right)
    for name, parameter in theirs.named_parameters():
        assert_close(ours.get_parameter(name).grad, parameter.grad)
    for name in ("running_mean", "running_var"):
        assert_close(ours.get_buffer(name), theirs.get_buffer(name))


def test_far_from_the_origin() -> None:
    """A mean of a thousand deviations does not swallow the variance."""
    ours, theirs = norms(2)
    x = torch.randn(2, 2, 60, 70) + 1000
    y, wanted = normalized_mish(x, ours), torch.nn.functional.mish(theirs(x.double()))
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=2e-4)
    torch.testing.assert_close(ours.running_var.double(), theirs.running_var, rtol=1e-5, atol=0)


def test_extreme_values_keep_finite_slopes() -> None:
    ours, _ = norms(1)
    with torch.no_grad():
        ours.weight.fill_(1e20)
        ours.bias.zero_()
    x = torch.tensor([-1.0, 1.0, -3.0, 3.0]).view(1, 1, 2, 2).requires_grad_()
    y = normalized_mish(x, ours)
    y.sum().backward()
    assert torch.isfinite(y).all() and x.grad is not None and torch.isfinite(x.grad).all()


def test_what_is_no_number_stays_none() -> None:
    ours, _ = norms(2)
    x = torch.randn(1, 2, 3, 3)
    x[0, 1, 1, 1] = torch.nan
    y = normalized_mish(x, ours)
    assert torch.isfinite(y[0, 0]).all() and y[0, 1].isnan().all()


def test_the_same_for_any_number_of_threads() -> None:
    x, gradient = torch.randn(2, 3, 2, 90, 70)
    assert x.numel() > 4 * CHUNK
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        ours, _ = norms(2)
        start = x.clone().requires_grad_()
        y = normalized_mish(start, ours)
        y.backward(gradient)
        found.append([y.detach().numpy(), start.grad, ours.weight.grad, ours.running_var.numpy()])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_single_values() -> None:
    with pytest.raises(ValueError, match="more than one value per channel"):
        normalized_mish(torch.ones(1, 3, 1, 1), nn.BatchNorm2d(3))


def test_torch_keeps_its_number_of_threads() -> None:
    """Numba's threads start with the first call in a process, and set the number of all that use OpenMP."""
    code = (
        "import torch; from training.normalized_mish import normalized_mish\n"
        "torch.set_num_threads(1)\n"
        "x = torch.zeros(1, 8, 4, 4).contiguous(memory_format=torch.channels_last)\n"
        "normalized_mish(x, torch.nn.BatchNorm2d(8))\n"
        "print(torch.get_num_threads())"
    )
    environment = os.environ | {"NUMBA_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "omp"}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "1"
