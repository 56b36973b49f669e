"""The example that writes text."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from darknet_py import Network
from darknet_py.graph import load_graph
from darknet_py.weights import SeededWeights
from darknet_py.weights_writer import write_weights

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

from generate_text import FOLDER, Writer, main  # noqa: E402

#: A line that the network has not seen, but in whose manner it writes.
LINE = "\nKING RICHARD:\nWhat say you now? I will be with my lord,\nAnd so the king is come to see the day.\n"


def write(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_seed_is_a_text() -> None:
    first, again, other = (write("--length", 80, "--seed", seed).stdout for seed in (3, 3, 4))
    assert first == again != other
    assert len(first) == 81
    cold = write("--length", 40, "--temperature", 0.01, "--prompt", "The ").stdout
    assert cold.startswith("The ") and cold == write("--length", 40, "--temperature", 0.01, "--prompt", "The ").stdout


def test_it_foretells_better_than_by_chance_because_it_remembers() -> None:
    """Bits a character; without its memory it knows one character alone."""
    network = Network(FOLDER / "shakespeare.cfg", FOLDER / "shakespeare.weights", threads=1)
    writer = Writer(network)
    numbers = [writer.alphabet.index(character) for character in LINE]
    vectors = np.eye(len(writer.alphabet), dtype=np.float32)
    remembered = [writer.read(character)[after] for character, after in zip(LINE, numbers[1:], strict=False)]
    alone = [network.run(vectors[now])[0].ravel()[after] for now, after in itertools.pairwise(numbers)]
    bits, without = (float(-np.log2(np.maximum(found, 1e-9)).mean()) for found in (remembered, alone))
    assert bits < 3 < without < math.log2(96)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt", "é"], "'é': not one of the 96 characters"),
        (["--cfg", "missing.cfg"], "missing.cfg"),
        (["--weights", "missing.weights"], "missing.weights"),
        (["--temperature", "0"], "temperature"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], said: str) -> None:
    result = write(*arguments)
    assert result.exit_code in (1, 2) and said in result.stderr and "Traceback" not in result.stderr


def test_other_networks(tmp_path: Path) -> None:
    """Those of Darknet read bytes; what foretells nothing is refused."""
    cfg, weights = tmp_path / "bytes.cfg", tmp_path / "bytes.weights"
    cfg.write_text("[net]\ninputs=256\n[gru]\noutput=9\n[connected]\noutput=256\nactivation=linear\n[softmax]\n")
    graph = load_graph(cfg)
    write_weights(weights, graph, SeededWeights(graph))
    result = write("--cfg", cfg, "--weights", weights, "--length", 20, "--prompt", "é")
    assert result.exit_code == 0 and len(result.stdout) == 22
    cfg.write_text(cfg.read_text().replace("output=256", "output=255"))
    graph = load_graph(cfg)
    write_weights(weights, graph, SeededWeights(graph))
    refused = write("--cfg", cfg, "--weights", weights)
    assert refused.exit_code == 1 and "256 inputs and 255 outputs" in refused.stderr
