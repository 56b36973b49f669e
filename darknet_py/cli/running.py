"""A detector run over inputs: what ``detect`` and ``codes`` have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from darknet_py.cli.choices import Choices
from darknet_py.cli.drawing import Drawing
from darknet_py.cli.inputs import Inputs
from darknet_py.cli.loading import DetectorFiles, open_detector
from darknet_py.cli.loop import Loop, Reader
from darknet_py.cli.options import make_writable
from darknet_py.cli.outputs import Targets
from darknet_py.cli.report import Report, say
from darknet_py.cli.tiled import Tiled
from darknet_py.cli.totals import Totals
from darknet_py.cli.warmup import load_kernels
from darknet_py.detector import Detector
from darknet_py.outputs import Outputs
from darknet_py.outputs.run_settings import describe_run
from darknet_py.shipped import BUILT_IN
from darknet_py.sources.input_kinds import is_picture
from darknet_py.sources.opening import gather
from darknet_py.sources.pictures import FailedSource

__all__ = ["Advice", "Run"]

#: Gets the name of a picture in which nothing was found.
Advice = Callable[[str, Report], None]


@dataclass(frozen=True)
class Run:
    """All that was asked for but the inputs, each checked by itself.

    Attributes
    ----------
    out : Path or None
        The folder of what is drawn.
    options : mapping
        Of the `Detector`.
    reader : callable or None
        Reads codes where the detector found some.
    settings : mapping
        What records say besides what they always do.
    """

    files: DetectorFiles
    choices: Choices
    tiled: Tiled
    given: Inputs
    targets: Targets
    out: Path | None
    options: Mapping[str, Any]
    reader: Reader | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def over(self, ctx: click.Context, inputs: Sequence[str], advice: Advice | None) -> None:
        """Look at all inputs and write what comes of it; exits with 1 if some of them could not be done."""
        asked = self.given.asked(self.out, self.files.offline, lambda text: report.note(text))
        found = gather(inputs, asked)
        if self.out is not None:
            make_writable(self.out, "--out")
        drawing = Drawing(self.out, [one for one in found if isinstance(one, str)])
        outputs, chosen = self.targets.outputs(self.out)
        report, totals = Report(len(found), tables=not self.targets.on_stdout), Totals()
        try:
            # Outputs are left before an exit code is set: an exception on its way through would make them drop files.
            with outputs:
                for one in found:
                    if isinstance(one, FailedSource):  # a name that was mistyped is said before a model is loaded
                        report.failed(one.name, str(one.error))
                self._loop(ctx, outputs, drawing, report, totals, advice).run(found, asked)
                if not outputs.count and report.failures and not self.targets.on_stdout:
                    ctx.exit(1)  # from within: a mistyped name does not replace the FILE of before by an empty one
        except BaseException:
            if outputs.kept:
                verb = "holds" if len(outputs.kept) == 1 else "hold"
                report.note(f"{', '.join(outputs.kept)} {verb} the {_done(outputs.count, found)} that were done")
            raise
        report.table(totals.text())
        if chosen is not None:
            report.note(f"Label files and crops are in {chosen}")
        if report.failures or outputs.failures:
            ctx.exit(1)

    def _loop(
        self,
        ctx: click.Context,
        outputs: Outputs,
        drawing: Drawing,
        report: Report,
        totals: Totals,
        advice: Advice | None,
    ) -> Loop:
        """The detector, ready, with all that takes what it finds."""
        detector = open_detector(self.files.find(ctx), **self.options)
        if self.files.built_in:
            say(_built_in_model(detector))
        load_kernels(detector.graph)  # so that no picture's time includes them
        wanted = self.choices.options(detector.names)
        settings = {**self.given.settings, **self.tiled.settings(detector), **self.settings}
        outputs.begin(describe_run(detector, detector.selection(**wanted), **settings))
        nothing = _keep_quiet if advice is None else lambda name: advice(name, report)
        tiles = self.tiled.search(detector, wanted)
        return Loop(detector, wanted, outputs, drawing, report, totals, nothing, tiles, self.reader)


def _done(count: int, found: Sequence[str | FailedSource]) -> str:
    """How many of how many, where that is known."""
    if all(isinstance(one, str) and is_picture(one) for one in found):
        return f"{count} of {len(found)} pictures"
    return f"{count} pictures and frames"


def _keep_quiet(_: str) -> None:
    """A model that somebody chose needs no advice."""


def _built_in_model(detector: Detector) -> str:
    return (
        f"Using the built-in model {BUILT_IN} ({', '.join(detector.names)}); give --model NAME, or --cfg and "
        "--weights, for another."
    )
