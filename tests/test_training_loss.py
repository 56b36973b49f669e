"""The loss of a [yolo] head against scalar loops of Darknet's rules, closed forms and finite differences."""

import itertools
import math
from types import SimpleNamespace

import naive_loss
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from darknet_py.errors import OptionError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from training.loss import YoloLoss  # noqa: E402
from training.loss.assignment import assign, best_overlap  # noqa: E402

MEASURES = ("iou", "giou", "diou", "ciou")
ANCHORS = ((10.0, 14.0), (23.0, 27.0), (37.0, 58.0), (81.0, 82.0), (60.0, 30.0))
SIZE = (96, 64)


def random_boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.05, 0.7, (count, 2))], 1)


def random_truth(count, images, classes, seed=0):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(count, seed)
    return np.concatenate([rng.integers(images, size=(count, 1)), rng.integers(classes, size=(count, 1)), boxes], 1)


def tensor(values, dtype=torch.float64):
    return torch.tensor(np.asarray(values), dtype=dtype)


truths = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 3),
        st.integers(0, 64).map(lambda k: k / 64),
        st.integers(0, 64).map(lambda k: k / 64),
        st.integers(1, 64).map(lambda k: k / 64),
        st.integers(1, 64).map(lambda k: k / 64),
    ),
    max_size=12,
)


class TestAssignment:
    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        truth=truths,
        mask=st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True),
        grid=st.tuples(st.integers(1, 7), st.integers(1, 5)),
        iou_thresh=st.sampled_from([1.0, 0.6, 0.213]),
    )
    def test_as_naive(self, truth, mask, grid, iou_thresh):
        for _, _, _, _, w, h in truth:  # ties would be decided by rounding
            fits = [naive_loss.shape_overlap(w, h, aw / SIZE[0], ah / SIZE[1]) for aw, ah in ANCHORS]
            assume(min(abs(a - b) for a, b in itertools.combinations([*fits, iou_thresh], 2)) > 1e-5)
        rows = tensor(truth, torch.float32).reshape(-1, 6)
        found = assign(rows, tensor(ANCHORS, torch.float32), mask, grid, SIZE, iou_thresh)
        places = zip(*(part.tolist() for part in found[:4]), strict=True)
        expected = naive_loss.assignment(truth, ANCHORS, mask, grid, SIZE, iou_thresh)
        assert list(zip(places, found.truth.tolist(), strict=True)) == sorted(expected.items())

    def test_heads_share_the_truths_between_them(self):
        truth = tensor(random_truth(40, 4, 3), torch.float32)
        anchors = tensor(ANCHORS, torch.float32)
        heads = [assign(truth, anchors, mask, (64, 64), SIZE) for mask in ((0, 1), (2,), (3, 4))]
        assert sorted(itertools.chain(*(head.truth.tolist() for head in heads))) == list(range(40))

    def test_best_overlap_as_naive(self):
        truth, boxes = random_truth(9, 3, 2), random_boxes(3 * 20, 5).reshape(3, 20, 4)
        truth = truth[truth[:, 0] != 1]
        found = best_overlap(tensor(boxes).transpose(1, 2), tensor(truth))
        for image, k in itertools.product(range(3), range(20)):
            fits = [naive_loss.iou(boxes[image, k], box[2:]) for box in truth if box[0] == image]
            assert_allclose(found[image, k], max(fits, default=0), rtol=1e-9)

    def test_best_overlap_without_truth(self):
        assert not best_overlap(torch.rand(2, 4, 7), torch.zeros(0, 6)).any()


def make_head(**more):
    head = {"anchors": ANCHORS, "mask": (1, 4, 2), "grid": (6, 4), "size": SIZE, "scale_x_y": 1.2, "new_coords": False}
    head |= {"iou_thresh": 0.3, "ignore_thresh": 0.35, "label_smooth_eps": 0.0, "objectness_smooth": False}
    return SimpleNamespace(**head | more)


def make_loss(head, classes=3, **more):
    names = "scale_x_y new_coords iou_thresh ignore_thresh label_smooth_eps objectness_smooth".split()
    options = {name: getattr(head, name) for name in names} | more
    return YoloLoss(classes=classes, anchors=tuple(itertools.chain(*head.anchors)), mask=head.mask, **options)


def make_batch(head, classes=3, batch=2, seed=0):
    """(raw, truth): some truths lie close to predictions, so that these are to be ignored."""
    rng = np.random.default_rng(seed)
    width, height = head.grid
    anchors = len(head.mask)
    raw = rng.normal(0, 0.7, (batch, anchors, 5 + classes, height, width))
    if head.new_coords:
        raw = 1 / (1 + np.exp(-raw))
    truth = random_truth(7, batch, classes, seed).tolist()
    raw[:, :, 5:, 0] = 0.1 if head.new_coords else -2.0  # no likely class in the first row
    for place in itertools.product(range(batch), range(anchors), range(height), range(width)):
        if rng.random() < 0.2:
            box = naive_loss.decode(raw[place[0], place[1], :, place[2], place[3]].tolist(), place, head)
            noise = np.exp(rng.normal(0, 0.02, 4))
            if max(box) < 1:
                truth.append([place[0], rng.integers(classes), *(box * noise)])
    return raw, truth[:16]


def as_entries(raw):
    batch, anchors, _, height, width = raw.shape
    places = itertools.product(range(batch), range(anchors), range(height), range(width))
    return {(b, n, j, i): raw[b, n, :, j, i].tolist() for b, n, j, i in places}


def gradient_of(loss, raw, truth, part="total"):
    """(parts, gradient (B, A, 5 + classes, H, W)) of a part of the loss times the batch size: deltas, negated."""
    variable = tensor(raw).flatten(1, 2).requires_grad_()
    parts = loss(variable, tensor(truth).reshape(-1, 6), SIZE)
    getattr(parts, part).backward()
    return parts, variable.grad.reshape(raw.shape).numpy() * len(raw)


class TestYoloLoss:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"label_smooth_eps": 0.1},
            {"objectness_smooth": True},
            {"new_coords": True, "scale_x_y": 2.0, "label_smooth_eps": 0.2},
            {"iou_thresh": 1.0, "ignore_thresh": 0.5},
        ],
        ids=lambda options: " ".join(options) or "plain",
    )
    def test_gradient_is_darknets_delta(self, options, seed):
        head = make_head(**options)
        raw, truth = make_batch(head, seed=seed)
        loss = make_loss(head, obj_normalizer=0.4, cls_normalizer=0.5)
        parts, gradient = gradient_of(loss, raw, truth)
        expected = naive_loss.deltas(as_entries(raw), truth, head)
        for (b, n, j, i), (objectness, classes) in expected.items():
            assert_allclose(gradient[b, n, 4, j, i], -0.4 * objectness, atol=1e-9)
            assert_allclose(gradient[b, n, 5:, j, i], -0.5 * np.array(classes), atol=1e-9)
        positives = naive_loss.assignment(truth, ANCHORS, head.mask, head.grid, SIZE, head.iou_thresh)
        assert parts.positives == len(positives) > 0
        ignored = sum(objectness == 0 for objectness, _ in expected.values())
        assert ignored > 0 or head.objectness_smooth

    @pytest.mark.parametrize("new_coords", [False, True])
    def test_box_gradient_is_darknets(self, new_coords):
        """With respect to the box in pictures; w and h times exp."""
        head = make_head(new_coords=new_coords)
        raw, truth = make_batch(head)
        parts, gradient = gradient_of(make_loss(head, iou_normalizer=0.07), raw, truth, "box")
        positives = naive_loss.assignment(truth, ANCHORS, head.mask, head.grid, SIZE, head.iou_thresh)
        overlap = []
        for place, entry in as_entries(raw).items():
            b, n, j, i = place
            expected = np.zeros(4)
            if place in positives:
                box, true_box = naive_loss.decode(entry, place, head), truth[positives[place]][2:]
                slope = [1, 1, 1, 1] if new_coords else [1, 1, math.exp(entry[2]), math.exp(entry[3])]
                expected = -0.07 * np.multiply(naive_loss.ciou_gradient(box, true_box), slope)
                overlap.append(naive_loss.iou(box, true_box))
            assert_allclose(gradient[b, n, :4, j, i], expected, rtol=1e-5, atol=1e-6)
        assert_allclose(parts.mean_iou, np.mean(overlap))

    @pytest.mark.parametrize("new_coords", [False, True])
    def test_mse_gradient_is_darknets_delta(self, new_coords):
        head = make_head(new_coords=new_coords, mask=(0, 1, 2, 3, 4))
        raw, truth = make_batch(head)
        _, gradient = gradient_of(
            make_loss(head, iou_loss="mse", iou_normalizer=0.5, max_delta=1e-9), raw, truth, "box"
        )
        positives = naive_loss.assignment(truth, ANCHORS, head.mask, head.grid, SIZE, head.iou_thresh)
        for (b, n, j, i), t in positives.items():
            x, y, w, h = raw[b, n, :4, j, i]
            if not new_coords:
                x, y = naive_loss.logistic(x), naive_loss.logistic(y)
            x, y = 1.2 * x - 0.1, 1.2 * y - 0.1
            cx, cy, tw, th = truth[t][2:]
            ratios = tw * SIZE[0] / ANCHORS[n][0], th * SIZE[1] / ANCHORS[n][1]
            wanted_w, wanted_h = (math.sqrt(r / 4) if new_coords else math.log(r) for r in ratios)
            expected = np.array([cx * 6 - i - x, cy * 4 - j - y, wanted_w - w, wanted_h - h]) * (2 - tw * th) * -0.5
            assert_allclose(gradient[b, n, :4, j, i], expected, atol=1e-9)

    @pytest.mark.parametrize("iou_loss", ["mse", "iou", "giou", "diou"])
    @pytest.mark.parametrize("new_coords", [False, True])
    def test_exact_gradient(self, iou_loss, new_coords):
        head = make_head(new_coords=new_coords, grid=(3, 2), mask=(1, 3))
        raw, truth = make_batch(head, classes=2)
        loss = make_loss(head, classes=2, iou_loss=iou_loss, exact_gradient=True)
        variable = tensor(raw).flatten(1, 2).requires_grad_()
        assert torch.autograd.gradcheck(lambda raw: loss(raw, tensor(truth), SIZE).total, variable)

    @pytest.mark.parametrize("exact_gradient", [False, True])
    def test_max_delta_bounds_the_box_gradient(self, exact_gradient):
        head = make_head()
        raw, truth = make_batch(head)
        options = {"iou_normalizer": 1.0, "exact_gradient": exact_gradient}
        _, free = gradient_of(make_loss(head, **options), raw, truth)
        _, bounded = gradient_of(make_loss(head, **options, max_delta=0.05), raw, truth)
        assert abs(free[:, :, :4]).max() > 0.05
        assert_allclose(bounded[:, :, :4], free[:, :, :4].clip(-0.05, 0.05), rtol=1e-12)
        assert_allclose(bounded[:, :, 4:], free[:, :, 4:], rtol=1e-12)

    def test_values(self):
        """One cell, one anchor, one class: the sums by hand."""
        loss = YoloLoss(classes=1, anchors=(32.0, 32.0), mask=(0,), iou_loss="iou", iou_normalizer=1, cls_normalizer=3)
        raw = torch.zeros(2, 6, 1, 1)
        truth = torch.tensor([[1, 0, 0.5, 0.5, 0.5, 0.25]])  # the prediction is 0.5 x 0.5
        parts = loss(raw, truth, (64, 64))
        assert_allclose(
            [*parts, parts.total],
            [0.5 / 2, 2 * math.log(2) / 2, 3 * math.log(2) / 2, 1, 0.5, 0.25 + 2.5 * math.log(2)],
            rtol=1e-6,
        )

    def test_a_perfect_prediction_costs_nothing(self):
        loss = YoloLoss(classes=2, anchors=(32.0, 16.0), mask=(0,))
        raw = torch.tensor([0, 0, 0, 0, 50, -50, 50.0]).view(1, 7, 1, 1)
        assert loss(raw, torch.tensor([[0, 1, 0.5, 0.5, 0.5, 0.25]]), (64, 64)).total < 1e-6

    def test_empty_truth(self):
        raw = torch.randn(2, 24, 4, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        parts = make_loss(make_head())(raw, torch.zeros(0, 6), SIZE)
        parts.total.backward()
        assert parts.positives == parts.box == parts.classes == parts.mean_iou == 0
        expected = raw.detach().view(2, 3, 8, 4, 6)[:, :, 4].sigmoid() / 2
        assert_allclose(raw.grad.view(2, 3, 8, 4, 6)[:, :, 4], expected, rtol=1e-5)

    def test_batch_is_the_mean_of_its_images(self):
        head = make_head()
        raw, truth = make_batch(head, batch=3)
        loss, rows = make_loss(head), tensor(truth)
        whole = loss(tensor(raw).flatten(1, 2), rows, SIZE)
        parts = []
        for image in range(3):
            own = rows[rows[:, 0] == image] * tensor([0, 1, 1, 1, 1, 1])
            parts.append(loss(tensor(raw[image : image + 1]).flatten(1, 2), own, SIZE))
        for name in ("box", "objectness", "classes", "total"):
            assert_allclose(getattr(whole, name), np.mean([getattr(part, name) for part in parts]), rtol=1e-9)

    @pytest.mark.parametrize("kind", MEASURES)
    def test_huge_logits_stay_finite(self, kind):
        loss = make_loss(make_head(), iou_loss=kind, max_delta=5.0)
        raw = torch.full((1, 24, 4, 6), 1e4).requires_grad_()
        parts = loss(raw, tensor([[0, 1, 0.3, 0.3, 0.4, 0.4]]), SIZE)
        parts.total.backward()
        assert parts.total.isfinite() and raw.grad.isfinite().all()

    @pytest.mark.parametrize("exact_gradient", [False, True])
    def test_descent_finds_the_truth(self, exact_gradient):
        """Plain gradient descent on the logits ends at the boxes, whichever gradient it follows.

        In small steps: with 0.3, how near depends on how a CPU rounds, 0.89 on one where others get beyond 0.9.
        """
        head = make_head(iou_thresh=1.0)
        truth = torch.tensor([[0, 1, 0.31, 0.40, 0.25, 0.35], [0, 2, 0.71, 0.62, 0.52, 0.60]])
        loss = make_loss(head, iou_normalizer=5.0 if exact_gradient else 0.07, max_delta=5.0)
        raw = torch.zeros(1, 24, 4, 6, requires_grad=True)
        for step in range(300):
            (gradient,) = torch.autograd.grad(loss(raw, truth, SIZE).total, raw)
            raw = (raw - 0.1 / (1 + step / 30) * gradient).detach().requires_grad_()
        parts = loss(raw, truth, SIZE)
        assert parts.positives == 2 and parts.mean_iou > 0.9


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"anchors": (1.0, 2.0, 3.0)}, "pairs"),
            ({"anchors": (1.0, 0.0)}, "positive"),
            ({"mask": (0, 5)}, "different indices"),
            ({"mask": (1, 1)}, "different indices"),
            ({"classes": 0}, "at least 1"),
            ({"iou_loss": "l2"}, "iou_loss=l2"),
            ({"max_delta": 0.0}, "max_delta"),
            ({"label_smooth_eps": 1.0}, "label_smooth_eps"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(OptionError, match=message):
            YoloLoss(**{"classes": 2, "anchors": (8.0, 8.0, 16.0, 16.0), "mask": (0, 1)} | options)

    @pytest.mark.parametrize(
        ("channels", "truth", "message"),
        [
            (21, [[0, 0, 0.5, 0.5, 0.1, 0.1]], r"takes \(B, 24, H, W\)"),
            (24, [[0, 0.5, 0.5, 0.1, 0.1]], r"expected \(m, 6\)"),
            (24, [[2, 0, 0.5, 0.5, 0.1, 0.1]], "image index 2; expected 0 to 1"),
            (24, [[1, 3, 0.5, 0.5, 0.1, 0.1]], "class 3; expected 0 to 2"),
        ],
    )
    def test_call(self, channels, truth, message):
        with pytest.raises(OptionError, match=message):
            make_loss(make_head())(torch.zeros(2, channels, 4, 6), torch.tensor(truth), SIZE)
