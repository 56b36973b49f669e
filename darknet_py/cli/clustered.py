"""``darknet-py detect --ray``: the pictures shared out to a cluster, a folder of Parquet files in the end."""

from __future__ import annotations

import functools
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from darknet_py.arguments import short
from darknet_py.cli.choices import Choices
from darknet_py.cli.loading import DetectorFiles, open_detector
from darknet_py.cli.options import Count, ParamType
from darknet_py.cli.report import Report
from darknet_py.cli.stopping import check_stopped
from darknet_py.cli.tiled import Tiled
from darknet_py.cli.warmup import load_kernels
from darknet_py.sources.input_kinds import camera_number, is_stream, without_password
from darknet_py.sources.lists import read_stdin
from darknet_py.sources.opening import Asked, gather
from darknet_py.sources.pictures import FailedSource

__all__ = ["Cluster", "TakingRay", "cluster_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: ``--ray`` alone: the cluster that RAY_ADDRESS names or that this machine runs, or a new one on it.
_ANY = "any"
_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d{1,5}|\[[0-9a-f:]+\]:\d{1,5}", re.ASCII | re.IGNORECASE)

#: Options that mean the same in a cluster; all others are about this terminal, videos or files of other kinds.
_MEANT = frozenset({
    "model", "offline", "cfg", "weights", "names", "thresh", "nms", "classes", "class_thresh", "agnostic_nms",
    "single_class", "max_det", "tiles", "overlap", "letterbox", "size", "threads", "like", "exact", "precision",
    "looks", "out", "recursive", "resume", "ray", "workers", "inputs",
})  # fmt: skip

_MOST = 100_000

#: Seconds.
_PATIENCE = 10


class _RayAddress(ParamType):
    """Where a cluster may be."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != _ANY and not _ADDRESS.fullmatch(value):
            self.fail(f"{short(value)}: expected HOST:PORT, ray://HOST:PORT, auto or local", param, ctx)
        return str(value)


class TakingRay(click.Command):
    """A command whose ``--ray`` takes the next argument where that is an address, and not an input."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        joined: list[str] = []
        rest = iter(args)
        for one in rest:
            if one == "--":
                joined += [one, *rest]
            elif one != "--ray":
                joined.append(one)
            else:
                following = next(rest, None)
                is_address = following is not None and _ADDRESS.fullmatch(following) and not os.path.exists(following)
                joined.append(f"--ray={following if is_address else _ANY}")
                joined += [] if following is None or is_address else [following]
        return super().parse_args(ctx, joined)


@dataclass(frozen=True)
class Cluster:
    """What was asked for, in the words of the command line."""

    ray: str | None
    workers: int | None

    def check(self, ctx: click.Context) -> None:
        """Refuse what has no meaning with, or without, a cluster.

        Raises
        ------
        click.UsageError
        """
        if self.ray is None:
            if self.workers is not None:
                raise click.UsageError("--workers is of --ray, which is not given", ctx)
            return
        for parameter in ctx.command.params:
            given = parameter.name and ctx.get_parameter_source(parameter.name) != click.core.ParameterSource.DEFAULT
            if given and parameter.name not in _MEANT:
                raise click.UsageError(
                    f"{parameter.opts[0]} has no meaning with --ray, which looks at pictures and writes Parquet files "
                    "to the DIR of --out: leave it out",
                    ctx,
                )
        if "out" in ctx.params and ctx.params["out"] is None:
            raise click.UsageError("--ray writes Parquet files: say where with --out DIR", ctx)

    def run(
        self,
        ctx: click.Context,
        inputs: Sequence[str],
        asked: Asked,
        files: DetectorFiles,
        choices: Choices,
        resume: bool,
        tiled: Tiled,
        out: Path | None,
        **options: Any,
    ) -> None:
        """All of it, to an exit code."""
        tiled.check(ctx)
        from darknet_py.ray import detect_to_parquet
        from darknet_py.ray.archive import Block

        found = list(_pictures(inputs, replace(asked, videos=False)))
        report = Report(len(found), tables=False)
        if all(isinstance(one, FailedSource) for one in found):  # said before a cluster is started
            for one in found:
                if isinstance(one, FailedSource):
                    report.failed(one.name, str(one.error))
            ctx.exit(1)
        # What names nothing is a row with an error, as it is a record of JSON lines.
        listed = [one if isinstance(one, str) else one.name for one in found]
        cfg, weights, names = files.find(ctx)
        threads = options.pop("threads") or 1
        detector = open_detector((cfg, weights, names), threads=threads, **options)
        load_kernels(detector.graph)  # once, and not by all workers of this machine at the same time
        wanted = choices.options(detector.names)
        del detector

        def done(block: Block) -> None:
            check_stopped()
            for name, error in block.failed:
                report.failed(name, error)
            for _ in range(block.pictures):
                report.step()

        try:
            with _connected(self.ray), report:
                summary = detect_to_parquet(
                    listed, str(out), cfg, weights, names, cpus=threads, workers=self.workers, resume=resume,
                    tiles=tiled.tiles, overlap=tiled.share, done=done, **options, **wanted,
                )  # fmt: skip
        except BaseException:
            if out is not None and any(out.glob("block-*.parquet")):
                report.note(f"{out} holds the blocks that were done; --resume goes on from there")
            raise
        failed = f", {summary.errors} of them with an error" if summary.errors else ""
        before = f", {summary.resumed} from before" if summary.resumed else ""
        report.note(f"{out} holds {summary.pictures} pictures in {summary.blocks} Parquet files{failed}{before}")
        if summary.errors or report.failures:
            ctx.exit(1)


def _pictures(inputs: Sequence[str], asked: Asked) -> Iterator[str | FailedSource]:
    """The addresses of pictures that inputs stand for."""
    for one in gather(inputs, asked):
        if one == "-":
            given = read_stdin()
            if isinstance(given, bytes):
                raise click.UsageError("-: a picture's bytes: --ray takes addresses, one a line")
            yield from _pictures([name for name in given if name != "-"], asked)
        elif isinstance(one, str) and (camera_number(one) is not None or is_stream(one)):
            raise click.UsageError(f"{without_password(one)}: a camera or stream: --ray looks at pictures")
        else:
            yield one


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """A cluster for the block: that of the address, the one that there is, or a new one; it says nothing of its own."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from darknet_py.ray.installed import need

    _reach(address)
    with _silent():
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        ray, data = need("ray"), need("ray.data")
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            ray.init(
                address=None if address == _ANY else address,
                include_dashboard=False if address == "local" else None,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except (OSError, ValueError, RuntimeError) as error:
            where = "a cluster of this machine" if address in (_ANY, "local") else address
            raise click.ClickException(
                f"--ray: {where} cannot be had ({' '.join(str(error).split())}): is it up, and of this version of Ray?"
            ) from error
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """See that somebody listens at the address, for which Ray would look for minutes.

    Raises
    ------
    click.ClickException
    """
    host, sign, port = (address or "").removeprefix("ray://").rpartition(":")
    if not sign:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError, ValueError) as error:
        raise click.ClickException(
            f"--ray: no cluster at {address} ({getattr(error, 'strerror', None) or error})"
        ) from None


@contextmanager
def _silent() -> Iterator[None]:
    """Keep from stderr what libraries in C++ say there; what is wrong is an exception all the same."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def cluster_options(command: _Command) -> _Command:
    """Add the options; the command gets them as `cluster`."""

    @functools.wraps(command)
    def gathered(*args: Any, **given: Any) -> Any:
        cluster = Cluster(**{name: given.pop(name) for name in Cluster.__dataclass_fields__})
        return command(*args, cluster=cluster, **given)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


_OPTIONS = (
    click.option("--ray", metavar="[ADDRESS]", type=_RayAddress(), help="Share pictures out to the Ray cluster at "
                 "ADDRESS (head:6379), or of this machine, which is started if there is none. Needs the extra: pip "
                 'install "darknet-numba[ray]".'),
    click.option("--workers", metavar="N", type=Count(1, _MOST), help="Of --ray, how many there are, with --threads "
                 "CPUs each (1).  [default: all that the cluster has]"),
)  # fmt: skip
