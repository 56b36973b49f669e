"""The trainer of networks that write: what it learns is what the runtime foretells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from darknet_py import Network
from darknet_py.graph import load_graph
from darknet_py.weights_writer import write_weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[train]'")

from training import text  # noqa: E402


def test_training_writes_what_the_runtime_foretells(tmp_path: Path, torch_on_one_thread: None) -> None:
    cfg, weights, source = tmp_path / "some.cfg", tmp_path / "some.weights", tmp_path / "source.txt"
    cfg.write_text(
        "[net]\ninputs=96\n[lstm]\noutput=12\n[lstm]\noutput=10\n[connected]\noutput=96\nactivation=linear\n[softmax]\n"
    )
    source.write_text("To be, or not to be: that is the question.\n" * 30)
    options = ["--out", weights, "--epochs", 2, "--batch", 4, "--steps", 16]
    result = CliRunner().invoke(text.main, [str(word) for word in (cfg, source, *options)])
    assert result.exit_code == 0 and result.stdout.count("nats a character") == 2
    torch.manual_seed(0)
    network = text.TextNetwork(load_graph(cfg))
    write_weights(weights, network.graph, network.arrays())
    codes = text.encode("To be, or not", 96)
    expected = torch.softmax(network(codes[None])[0][0], dim=1).detach().numpy()
    session = Network(cfg, weights).session()
    found = session.run_sequence(np.eye(96, dtype=np.float32)[codes.numpy()])[0]
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-6)
    cfg.write_text("[net]\ninputs=96\n[gru]\noutput=12\n[connected]\noutput=96\nactivation=linear\n[softmax]\n")
    with pytest.raises(ValueError, match=r"expected \[lstm\] layers"):
        text.TextNetwork(load_graph(cfg))
