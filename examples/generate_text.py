"""Text by a network that remembers: a character in, the next one drawn from what comes out, and so on.

Usage: ``python examples/generate_text.py --prompt "KING" --length 400 --seed 1``

The network in examples/text/ learnt from plays of Shakespeare (``python -m training.text``). ``--cfg`` and
``--weights`` take any other that reads a character a run: with 96 inputs, from space to ~ and the end of a line, or
with 256, bytes, as those of Darknet's own ``rnn`` command do. The same seed gives the same text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from darknet_py import DarknetError, Network

FOLDER = Path(__file__).parent / "text"
#: The characters of networks of so many inputs, in order.
ALPHABETS = {96: "".join(map(chr, range(32, 127))) + "\n", 256: "".join(map(chr, range(256)))}


class Writer:
    """A network that foretells characters, and where it is in a text.

    Parameters
    ----------
    network : Network
        Of 96 or 256 inputs and as many outputs.

    Raises
    ------
    ValueError
        It has others.
    """

    def __init__(self, network: Network) -> None:
        inputs, outputs = network.graph.blob.size, network.graph.output.outputs
        if inputs not in ALPHABETS or outputs != inputs:
            raise ValueError(f"{network.graph.file}: {inputs} inputs and {outputs} outputs: expected 96 or 256 of both")
        self.alphabet = ALPHABETS[inputs]
        self._session = network.session()
        self._vectors = np.eye(inputs, dtype=np.float32)

    def read(self, character: str) -> NDArray[np.float64]:
        """How likely each character is to come after this one and all those before."""
        number = self.alphabet.find(character)
        if number < 0:
            raise ValueError(f"{character!r}: not one of the {len(self.alphabet)} characters that the network knows")
        probabilities: NDArray[Any] = self._session.run(self._vectors[number])[0]
        return probabilities.ravel().astype(np.float64)

    def write(self, prompt: str, length: int, temperature: float, seed: int) -> Iterator[str]:
        """Characters that follow on a prompt, which may not be empty; below temperature 1 the likelier ones prevail."""
        random = np.random.default_rng(seed)
        for character in prompt:
            probabilities = self.read(character)
        for _ in range(length):
            weights = np.exp((np.log(probabilities + 1e-30) - np.log(probabilities.max() + 1e-30)) / temperature)
            character = self.alphabet[random.choice(len(weights), p=weights / weights.sum())]
            yield character
            probabilities = self.read(character)


@click.command()
@click.option("--cfg", default=FOLDER / "shakespeare.cfg", type=click.Path(path_type=Path), help="Another network.")
@click.option("--weights", default=FOLDER / "shakespeare.weights", type=click.Path(path_type=Path), help="Its weights.")
@click.option("--prompt", default="\n", show_default="a new line", help="What the text goes on from.")
@click.option("--length", default=500, show_default=True, type=click.IntRange(min=0), help="Characters to write.")
@click.option("--temperature", default=0.7, show_default=True, type=click.FloatRange(0, min_open=True))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def main(cfg: Path, weights: Path, prompt: str, length: int, temperature: float, seed: int) -> None:
    """Write a text, character by character."""
    try:
        writer = Writer(Network(cfg, weights, threads=1))
        click.echo(prompt.lstrip("\n"), nl=False)
        for character in writer.write(prompt or "\n", length, temperature, seed):
            click.echo(character, nl=False)
    except (DarknetError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo()


if __name__ == "__main__":
    main()
