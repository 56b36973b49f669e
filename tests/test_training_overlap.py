"""IoU and its kin against scalar loops, closed forms and finite differences."""

import itertools
import math

import naive_loss
import numpy as np
import pytest
from numpy.testing import assert_allclose

from darknet_py.errors import OptionError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from training.loss import overlap as overlaps  # noqa: E402

MEASURES = ("iou", "giou", "diou", "ciou")


def random_boxes(count, seed=0):
    """float64 (count, 4); in pairs most overlap, some do not."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.05, 0.7, (count, 2))], 1)


def tensor(values, dtype=torch.float64):
    return torch.tensor(np.asarray(values), dtype=dtype)


@pytest.mark.parametrize("name", MEASURES)
def test_as_naive(name):
    a, b = random_boxes(200, 1), random_boxes(200, 2)
    expected = [getattr(naive_loss, name)(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    found = getattr(overlaps, name)(tensor(a, torch.float32), tensor(b, torch.float32))
    assert found.dtype == torch.float32
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((5, 5, 4, 2), (5, 5, 4, 2), (1, 1, 1, 1)),  # identical
        ((1, 1, 2, 2), (2, 1, 2, 2), (1 / 3, 1 / 3, 1 / 3 - 1 / 13, 1 / 3 - 1 / 13)),  # half covered
        ((1, 1, 2, 2), (5, 1, 2, 2), (0, -1 / 3, -16 / 40, -16 / 40)),  # a gap as wide as both
        ((2, 2, 4, 4), (1, 1, 2, 2), (1 / 4, 1 / 4, 1 / 4 - 2 / 32, 1 / 4 - 2 / 32)),  # nested in a corner
        ((0, 0, 2, 2), (0, 0, 2, 2 * math.sqrt(3)), (3**-0.5, 3**-0.5, 3**-0.5, None)),  # aspect alone
    ],
)
def test_closed_forms(a, b, expected):
    for name, value in zip(MEASURES, expected, strict=True):
        if value is None:  # atan(1) - atan(1 / sqrt 3) is pi / 12
            v = 4 / 144
            value = expected[0] - v * v / (1 - expected[0] + v)
        assert_allclose(getattr(overlaps, name)(tensor([a]), tensor([b])), [value], rtol=1e-12)


@pytest.mark.parametrize("kind", ["mse", *MEASURES])
def test_loss_of_identical_boxes_is_zero(kind):
    boxes = tensor(random_boxes(50), torch.float32)
    assert_allclose(overlaps.box_loss(kind)(boxes, boxes), np.zeros(50), atol=1e-5)


@pytest.mark.parametrize("kind", ["mse", "iou", "giou", "diou"])
def test_gradient(kind):
    a, b = tensor(random_boxes(20, 3)).requires_grad_(), tensor(random_boxes(20, 4))
    assert torch.autograd.gradcheck(lambda a: overlaps.box_loss(kind)(a, b), a)


def test_gradient_of_ciou_holds_alpha():
    a, b = tensor(random_boxes(20, 3)).requires_grad_(), random_boxes(20, 4)
    overlaps.ciou(a, tensor(b)).sum().backward()
    expected = [naive_loss.ciou_gradient(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert_allclose(a.grad, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", MEASURES)
def test_boxes_without_area_stay_finite(name):
    sides = tensor(list(itertools.product((0.5, 0.6), (0.5,), (0, 1e-20, 0.1), (0, 1e-20, 0.1))), torch.float32)
    a = sides.repeat(len(sides), 1).requires_grad_()
    values = getattr(overlaps, name)(a, sides.repeat_interleave(len(sides), 0))
    values.sum().backward()
    assert values.isfinite().all() and a.grad.isfinite().all()
    assert values.abs().max() <= 2


def test_unknown_kind():
    with pytest.raises(OptionError, match=r"iou_loss=wiou.*ciou"):
        overlaps.box_loss("wiou")
