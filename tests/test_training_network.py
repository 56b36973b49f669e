"""The torch network: agreement with naive layers and the runtime, weights, sizes, gradients, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import naive
import numpy as np
import pytest
from networks import Options, TinyNetwork, assert_close
from numpy.typing import NDArray

from darknet_py import Network, OptionError, UnsupportedError, WeightsError
from darknet_py.cfg import parse_cfg
from darknet_py.graph import Graph, build_graph, load_graph
from darknet_py.weights import SeededWeights, WeightsFile
from darknet_py.weights_writer import write_weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from training.cmbn import CmBN  # noqa: E402
from training.layers import ACTIVATIONS  # noqa: E402
from training.mish import mish  # noqa: E402
from training.network import DarknetModule, load_module  # noqa: E402

pytestmark = pytest.mark.usefixtures("torch_on_one_thread")

CFG = Path(__file__).parents[1] / "cfg"


def graph_of(body: str, size: tuple[int, int] = (16, 12)) -> Graph:
    net = f"[net]\nwidth={size[0]}\nheight={size[1]}\nchannels=3\n"
    return build_graph(parse_cfg(net + body))


# Agreement with inference -----------------------------------------------------------------------------------


def conv(filters: int, **options: object) -> tuple[str, Options]:
    return "convolutional", {"filters": filters, "size": 3, "pad": 1, "activation": "mish", **options}


NETWORKS: dict[str, list[tuple[str, Options]]] = {
    "convolutions": [
        conv(6, batch_normalize=1, activation="leaky", stride=2),
        conv(8, groups=2, stride_x=2, stride_y=1, activation="swish"),
        conv(8, groups=8, dilation=2, batch_normalize=1),
        conv(5, size=2, pad=0, padding=1, activation="logistic"),
        conv(4, size=1, flipped=1, activation="relu6"),
    ],
    "pools": [
        conv(4),
        ("maxpool", {"size": 13, "stride": 1}),
        ("maxpool", {"size": 2, "stride": 1}),
        ("maxpool", {"size": 3, "stride": 2}),
        ("maxpool", {"size": 2, "stride": 2}),
        ("upsample", {"stride": 4}),
        ("maxpool", {"size": 4, "stride": 1, "padding": 0}),
        ("maxpool", {"size": 4, "stride": 3}),
        ("maxpool", {"size": 4, "stride_x": 2, "stride_y": 1, "padding": 6}),
        ("avgpool", {}),
    ],
    "joins": [
        conv(6, batch_normalize=1),
        conv(6, activation="linear"),
        ("shortcut", {"from": "-2", "activation": "leaky"}),
        conv(4),
        ("shortcut", {"from": "0,1"}),
        ("route", {"layers": "-1,2"}),
        ("route", {"layers": "-1,0", "groups": 2, "group_id": 1}),
        ("shortcut", {"from": "3"}),
        conv(8, activation="logistic"),
        ("sam", {"from": "-2"}),
        ("avgpool", {}),
        ("scale_channels", {"from": "-2", "activation": "relu"}),
        conv(1, activation="logistic"),
        ("scale_channels", {"from": "-4", "scale_wh": 1}),
        ("dropout", {"probability": 0.5}),
        ("dropout", {"dropblock": 1}),
        ("upsample", {"stride": 2, "scale": 0.5}),
        ("upsample", {"stride": -2}),
    ],
    "heads": [
        conv(7, batch_normalize=1),
        conv(14, size=1, activation="linear"),
        ("yolo", {"classes": 2, "num": 2, "scale_x_y": 1.05}),
        ("route", {"layers": "0"}),
        conv(14, size=1, activation="logistic"),
        ("yolo", {"classes": 2, "num": 2, "scale_x_y": 2, "new_coords": 1}),
    ],
    "activations": [conv(4, size=1, activation=name) for name in ACTIVATIONS],
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(4, 12, 20), (4, 15, 9)], ids=["even", "odd"])
def test_every_layer_agrees_with_naive_code(folder: Path, name: str, shape: tuple[int, int, int]) -> None:
    tiny = TinyNetwork(shape, seed=2)
    for kind, options in NETWORKS[name]:
        tiny.add(kind, options)
    cfg, weights = tiny.write(folder)
    graph = load_graph(cfg)
    module = DarknetModule(graph).eval()
    module.load_arrays(WeightsFile(weights, graph))
    with torch.no_grad():
        outputs = module.taps(torch.from_numpy(tiny.blob)[None])
        entering = module(torch.from_numpy(tiny.blob)[None])
    assert list(outputs) == list(range(len(tiny.outputs)))
    for index, output in outputs.items():
        assert_close(output[0].numpy(), tiny.outputs[index], f"layer {index} {tiny.sections[index]}")
    sources = [head.index - 1 for head in graph.heads] or [len(graph.layers) - 1]
    for index, logits in zip(sources, entering, strict=True):
        assert_close(logits[0].numpy(), tiny.outputs[index], "forward")


@pytest.mark.parametrize("name", ["yolov4-tiny", "yolov4-codes"])
def test_shipped_networks_agree_with_the_runtime(tmp_path: Path, name: str) -> None:
    """Weights drawn here, written as a file, run by both at a size that is not the cfg's."""
    if not (CFG / f"{name}.cfg").is_file():
        pytest.skip(f"no cfg/{name}.cfg")
    graph = load_graph(CFG / f"{name}.cfg", (96, 64))
    module = load_module(CFG / f"{name}.cfg").eval()
    module.load_arrays(SeededWeights(graph, seed=3))
    write_weights(tmp_path / "w", graph, module.arrays(), seen=5)
    blob = np.random.default_rng(0).random((3, 64, 96), np.float32)
    network = Network(graph, tmp_path / "w", threads=1, exact=True)
    expected = network.run(blob, taps=range(len(graph.layers)))
    with torch.no_grad():
        found = module.taps(torch.from_numpy(blob)[None])
    for index, values in expected.items():
        difference = np.abs(found[index][0].numpy() - values).max()
        assert difference <= 1e-4 * np.abs(values).max(), f"layer {index}: {difference}"


def test_arrays_survive_a_file(tmp_path: Path) -> None:
    graph = graph_of("[convolutional]\nbatch_normalize=1\nfilters=5\nsize=3\npad=1\n[convolutional]\nfilters=2\n")
    module = DarknetModule(graph)
    module(torch.rand(2, 3, 12, 16))  # moves the running statistics
    write_weights(tmp_path / "w", graph, module.arrays())
    other = DarknetModule(graph)
    with WeightsFile(tmp_path / "w", graph) as file:
        other.load_arrays(file)
    for index, arrays in module.arrays().items():
        assert list(arrays) == [p.name for p in graph.layers[index].parameters]
        for name, values in arrays.items():
            np.testing.assert_array_equal(other.arrays()[index][name], values)


def test_arrays_of_another_shape() -> None:
    wide, narrow = (graph_of(f"[convolutional]\nfilters={n}\n") for n in (5, 4))

    class Wide(SeededWeights):
        def arrays(self, layer: object) -> dict[str, NDArray[np.float32]]:
            return super().arrays(wide.layers[0])

    with pytest.raises(WeightsError, match=r"layer 0\): 'biases' is of shape \(5,\), expected shape \(4,\)"):
        DarknetModule(narrow).load_arrays(Wide(wide))


# Building and running ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[convolutional]\nxnor=1\n", r"xnor cannot be trained; remove xnor="),
        ("[convolutional]\nfilters=3\n[convolutional]\nfilters=3\nshare_index=0\n", "share_index"),
        ("[convolutional]\nantialiasing=1\n", "antialiasing"),
        ("[convolutional]\nsize=3\ndilation=2\n", "needs an odd size and pad=1"),
        ("[convolutional]\nactivation=stair\n", "activation=stair cannot be trained; use one of linear, leaky"),
        ("[maxpool]\nmaxpool_depth=1\n", "maxpool_depth"),
        ("[connected]\nactivation=linear\n", r"\[connected\] cannot be trained"),
        ("[dropout]\nprobability=1\ndropblock=1\n", "probability=1.0: expected at least 0 and less than 1"),
        ("[convolutional]\nfilters=7\n[yolo]\nclasses=2\n[upsample]\n", r"layer 2\): reads a \[yolo\] layer"),
    ],
)
def test_what_cannot_be_trained(body: str, expected: str) -> None:
    with pytest.raises(UnsupportedError, match=expected):
        DarknetModule(graph_of(body))


HEAD = "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=2\npad=1\nactivation=mish\n" * 2 + (
    "[convolutional]\nfilters=14\nactivation=linear\n[yolo]\nclasses=2\nnum=2\n"
)


def test_sizes() -> None:
    module = DarknetModule(graph_of(HEAD))
    assert module(torch.rand(2, 3, 8, 24))[0].shape == (2, 14, 2, 6)
    for shape in [(2, 3, 8, 23), (2, 1, 8, 24), (3, 8, 24)]:
        with pytest.raises(OptionError, match="multiples of 4"):
            module(torch.rand(shape))


def test_gradients_reach_every_parameter() -> None:
    module = DarknetModule(graph_of(HEAD)).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 8, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
    (logits,) = module(x)
    assert logits.is_contiguous(memory_format=torch.channels_last)
    logits.square().sum().backward()
    for parameter in (x, *module.parameters()):
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0


def test_initial_weights() -> None:
    """Uniform in ±sqrt(2 / fan in), the same for one generator; primed heads start at the probability asked for."""
    module = DarknetModule(graph_of(HEAD.replace("filters=6", "filters=64")))
    weights = module.layers[1].conv.weight.detach()
    bound = math.sqrt(2 / (64 * 9))
    assert 0.99 * bound < weights.abs().max() <= bound
    assert weights.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    module.initialise(torch.Generator().manual_seed(1))
    first = module.arrays()
    module.initialise(torch.Generator().manual_seed(1))
    np.testing.assert_array_equal(first[1]["weights"], module.arrays()[1]["weights"])
    module.prime_heads(0.02)
    biases = module.arrays()[2]["biases"].astype(np.float64).reshape(2, 7)
    np.testing.assert_allclose(naive.logistic(biases[:, 4]), 0.02, rtol=1e-5)
    assert np.count_nonzero(biases) == 2


def test_cmbn_is_chosen_by_the_cfg_or_the_caller(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_text(
        "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nbatch_normalize=2\n[convolutional]\ncbn=1\n"
        "[convolutional]\nbatch_normalize=1\n[convolutional]\n"
    )
    kinds = [type(layer.norm) for layer in load_module(tmp_path / "a.cfg").layers]
    assert kinds == [CmBN, CmBN, torch.nn.BatchNorm2d, type(None)]
    kinds = [type(layer.norm) for layer in DarknetModule(load_graph(tmp_path / "a.cfg"), cmbn=True).layers]
    assert kinds == [CmBN, CmBN, CmBN, type(None)]


def test_dropblock_sizes_and_ramp() -> None:
    module = DarknetModule(
        graph_of("[dropout]\ndropblock=1\n[dropout]\ndropblock=1\nprobability=.1\ndropblock_size_rel=.5\n[dropout]\n")
    )
    first, second, plain = module.layers
    assert (first.probability, first.block_size(12, 16), first.block_size(5, 16)) == (0.2, 7, 5)
    assert (second.probability, second.block_size(12, 16)) == (0.1, 6)
    assert isinstance(plain, torch.nn.Dropout) and plain.p == 0.2
    module.ramp_dropblock(0.425)  # half of 0.85
    assert (first.ramp, first.block_size(12, 16), second.block_size(12, 16)) == (0.5, 3, 3)
    module.ramp_dropblock(1)
    assert first.ramp == 1


def test_mish_and_its_slope() -> None:
    x = torch.linspace(-30, 30, 4001, dtype=torch.float64, requires_grad=True)
    theirs = torch.nn.functional.mish(x)
    (wanted,) = torch.autograd.grad(theirs.sum(), x)
    ours = mish(x)
    (slope,) = torch.autograd.grad(ours.sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(slope, wanted, rtol=1e-9, atol=1e-12)
    extreme = torch.tensor([-1e30, -100.0, 1e30], requires_grad=True)
    y = mish(extreme)
    y.sum().backward()
    assert torch.equal(y.detach(), torch.tensor([0.0, 0.0, 1e30])) or torch.allclose(y[:2], torch.zeros(2))
    assert extreme.grad is not None and torch.isfinite(extreme.grad).all()
