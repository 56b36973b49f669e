"""A network of [lstm] layers learns to foretell the next character of a text: the weights of examples/text/.

Usage: ``python -m training.text examples/text/shakespeare.cfg TEXT --out examples/text/shakespeare.weights``
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import nn

from darknet_py.graph import Graph, load_graph
from darknet_py.layers import Connected, Lstm, Softmax
from darknet_py.weights_writer import write_weights

__all__ = ["TextNetwork", "encode", "main"]

#: The characters that a network of 96 inputs tells apart, in order; of one with 256 they are bytes.
ALPHABET = "".join(map(chr, range(32, 127))) + "\n"
#: The last part of a text is not learnt from: it measures.
HELD_OUT = 0.05

Tensor = torch.Tensor
States = list[tuple[Tensor, Tensor] | None]


def encode(text: str, inputs: int) -> Tensor:
    """The numbers of a text's characters; those that are none of the network's are left out."""
    if inputs == 256:
        return torch.tensor(list(text.encode("latin-1", "ignore")))
    return torch.tensor([number for character in text if (number := ALPHABET.find(character)) >= 0])


class TextNetwork(nn.Module):
    """A cfg of [lstm] layers, a [connected] one and a [softmax] as PyTorch modules.

    Parameters
    ----------
    graph : Graph

    Raises
    ------
    ValueError
        There is something else in it.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        *memories, last, softmax = graph.layers
        linear = isinstance(last, Connected) and last.activation == "linear" and not last.batch_normalize
        if not (linear and isinstance(softmax, Softmax) and all(isinstance(layer, Lstm) for layer in memories)):
            raise ValueError(f"{graph.file}: expected [lstm] layers, a linear [connected] layer and [softmax]")
        if any(array.role == "scales" for layer in memories for array in layer.parameters):
            raise ValueError(f"{graph.file}: batch_normalize is not learnt here")
        self.memories = nn.ModuleList(
            nn.LSTM(layer.in_shape.size, layer.outputs, batch_first=True) for layer in memories
        )
        self.last = nn.Linear(last.in_shape.size, last.outputs)

    def forward(self, codes: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """Logits (N, T, inputs) for the characters after `codes` (N, T), and what is remembered."""
        x = nn.functional.one_hot(codes, self.graph.blob.c).float()
        following: States = []
        for number, memory in enumerate(self.memories):
            x, state = memory(x, states[number] if states else None)
            following.append(state)
        return self.last(x), following

    def arrays(self) -> dict[int, dict[str, Any]]:
        """The weights by layer and name, as `write_weights` takes them."""
        found: dict[int, dict[str, Any]] = {}
        for layer, memory in zip(self.graph.layers, self.memories, strict=False):
            own = found[layer.index] = {}
            for prefix, kind in (("u", "ih"), ("w", "hh")):
                matrices = getattr(memory, f"weight_{kind}_l0").detach().chunk(4)
                biases = getattr(memory, f"bias_{kind}_l0").detach().chunk(4)
                for gate, weights, bias in zip("ifgo", matrices, biases, strict=True):
                    own[f"{prefix}{gate}.weights"], own[f"{prefix}{gate}.biases"] = weights.numpy(), bias.numpy()
        weights, biases = self.last.weight.detach().numpy(), self.last.bias.detach().numpy()
        found[self.graph.layers[-2].index] = {"weights": weights, "biases": biases}
        return found


def _loss(network: TextNetwork, codes: Tensor, states: States | None = None) -> tuple[Tensor, States]:
    """Nats a character of (N, T + 1) codes, the first of which is given."""
    logits, states = network(codes[:, :-1], states)
    return nn.functional.cross_entropy(logits.flatten(0, 1), codes[:, 1:].flatten()), states


def _detached(states: States) -> States:
    return [None if state is None else (state[0].detach(), state[1].detach()) for state in states]


def _epoch(network: TextNetwork, optimizer: Any, schedule: Any, rows: Tensor, steps: int) -> float:
    """Once through the rows of text, which lie side by side, remembering from part to part; the mean loss."""
    states: States | None = None
    losses = []
    for first in range(0, rows.shape[1] - 1, steps):
        loss, following = _loss(network, rows[:, first : first + steps + 1], states)
        states = _detached(following)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


@click.command()
@click.argument("cfg", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("text", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The weights file to write."
)
@click.option("--epochs", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--batch", default=32, show_default=True, type=click.IntRange(min=1), help="Places of the text at once.")
@click.option("--steps", default=64, show_default=True, type=click.IntRange(min=1), help="Characters a weight update.")
@click.option("--rate", default=5e-3, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--seed", default=0, show_default=True)
def main(cfg: Path, text: Path, out: Path, epochs: int, batch: int, steps: int, rate: float, seed: int) -> None:
    """Train CFG, of [lstm] layers, a [connected] and a [softmax] layer, on the characters of TEXT."""
    torch.manual_seed(seed)
    graph = load_graph(cfg)
    network = TextNetwork(graph)
    codes = encode(text.read_text("utf-8"), graph.blob.c)
    learnt, held = codes[: int(len(codes) * (1 - HELD_OUT))], codes[int(len(codes) * (1 - HELD_OUT)) :]
    length = len(learnt) // batch
    if length < 2 or len(held) < 2:
        raise click.ClickException(f"{text}: {len(codes)} characters are too few for --batch {batch}")
    rows = learnt[: length * batch].reshape(batch, length)
    updates = epochs * math.ceil((length - 1) / steps)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, updates)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        loss = _epoch(network, optimizer, schedule, rows, steps)
        with torch.no_grad():
            unseen, _ = _loss(network, held[None])
        seconds = time.perf_counter() - start
        click.echo(f"epoch {epoch}: {loss:.4f} nats a character, held out {unseen.item():.4f}, {seconds:.0f} s")
        write_weights(out, graph, network.arrays(), seen=epoch * len(learnt))


if __name__ == "__main__":
    main()
