"""From a list of addresses, or a dataset, to a folder of Parquet files that a later run goes on from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from darknet_py.arguments import as_integer, short
from darknet_py.errors import DarknetError, OptionError
from darknet_py.outputs.json_text import strict
from darknet_py.outputs.run import Run, run_difference
from darknet_py.outputs.run_settings import describe_run
from darknet_py.plaintext import unicode_only
from darknet_py.ray.blockfolder import BlockFolder, block_name, content_name
from darknet_py.ray.columns import with_found
from darknet_py.ray.installed import need
from darknet_py.ray.stage import actors, column_known, fitting, plan_job, prepared
from darknet_py.ray.worker import Job, Worker
from darknet_py.sources.input_kinds import without_password

__all__ = ["Block", "Summary", "detect_to_parquet"]

#: Goes up with every change that a reader of the version before would not take.
_SCHEMA = 1

#: Pictures of a block: what a worker that dies has to do again, and one file.
_LARGEST_BLOCK = 256
#: Blocks for each worker at the least, so that the last ones do not leave most of them idle.
_BLOCKS_A_WORKER = 4

#: Columns that a list's blocks have on their way: their number, and addresses as they are, with passwords and with
#: bytes that are no Unicode.
_NUMBER, _ADDRESS = "_block", "_address"


@dataclass(frozen=True)
class Block:
    """A block that is done.

    Attributes
    ----------
    file : str
    pictures : int
    failed : tuple of (str, str)
        Of pictures that have an error, the address, if there is one, and the error.
    """

    file: str
    pictures: int
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Summary:
    """What a folder holds.

    Attributes
    ----------
    pictures, errors : int
        Rows, and how many of them have an error.
    blocks : int
        Files.
    resumed : int
        Pictures that were there before.
    """

    pictures: int
    errors: int
    blocks: int
    resumed: int = 0


def detect_to_parquet(
    pictures: Any,
    folder: str | Path,
    cfg: str | Path | None = None,
    weights: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None,
    *,
    model: str | None = None,
    column: str | None = None,
    cpus: float = 1,
    workers: int | None = None,
    block: int | None = None,
    resume: bool = False,
    tiles: str | tuple[int, int] | int | None = None,
    overlap: float = 0.2,
    ray_options: Mapping[str, Any] | None = None,
    done: Callable[[Block], None] | None = None,
    **options: Any,
) -> Summary:
    """Find objects in many pictures and keep what is found, a Parquet file for each block of them.

    A block's file is there wholly or not at all. Ended at any moment, the same call with `resume` does the blocks that
    are missing; a worker that dies is replaced, and its block done again.

    Parameters
    ----------
    pictures : sequence of str, or ray.data.Dataset
        Addresses, in the order of the files; or a dataset, of which each block is one, known by its content: for
        `resume` to find it again, the dataset has to be cut as before.
    folder : str or Path
        On a disk that all machines share, or an address such as ``s3://bucket/found``.
    cfg, weights, names, model, column, cpus, workers, tiles, overlap, ray_options, **options
        As for `detect`.
    block : int, optional
        Pictures of a block of a list; by default 256, or fewer, so that each worker has four blocks.
    resume : bool
        Go on where an earlier call ended.
    done : callable, optional
        Gets each `Block` as it is done, and those of the run that is resumed first.

    Raises
    ------
    DarknetError
        Of the model or the options; the folder holds another run's blocks, or some and `resume` is not asked for.
    """
    listed = None if isinstance(pictures, need("ray.data").Dataset) else _addresses(pictures)
    if listed is None:
        column_known(pictures, column)
    detector, own, wanted = prepared(cfg, weights, names, model, cpus, options)
    job = plan_job(detector, own, wanted, tiles, overlap, column)
    run = describe_run(detector, wanted, **(job.tiled or {}))
    del detector  # its memory is the workers'
    stage = {**actors(cpus, workers), **(ray_options or {})}
    return _run(
        pictures, listed, BlockFolder(_place(folder)), job, run, fitting(cpus, workers), stage, block, resume, done
    )


def _place(folder: str | Path) -> str:
    return str(folder) if "://" in str(folder) else os.path.abspath(folder)


def _run(
    pictures: Any,
    listed: list[str] | None,
    target: BlockFolder,
    job: Job,
    run: Run,
    most: int,
    stage: Mapping[str, Any],
    block: int | None,
    resume: bool,
    done: Callable[[Block], None] | None,
) -> Summary:
    """All of it, once it is known that it can be done."""
    target.open()
    said = strict({"schema": _SCHEMA, "model": run.model, "settings": run.settings, **_described(listed)})
    size = _block_size(target, said, listed, block, most, resume)
    before = target.done()
    kept = _kept(target, before, done)
    dataset = pictures
    if listed is not None:
        dataset, blocks = _blocks_of(listed, size, before)
        # Nothing else wants CPUs.
        stage = {**stage, "compute": need("ray.data").ActorPoolStrategy(size=max(1, min(most, blocks)))}
    found = () if dataset is None else _found(dataset, target, job, stage, by_content=listed is None)
    counts = [(kept.pictures, kept.errors, kept.blocks)]
    for one in found:
        if done is not None:
            done(one)
        counts.append((one.pictures, len(one.failed), 1))
    rows, errors, files = map(sum, zip(*counts, strict=True))
    return Summary(rows, errors, files, kept.pictures)


class _Writer:
    """A block in, the same block's file written and a row that says so out; for ``map_batches``."""

    def __init__(self, job: Job, target: BlockFolder, by_content: bool) -> None:
        self._worker = Worker(job)
        self._target, self._by_content = target, by_content

    def __call__(self, table: Any) -> Any:
        pa = need("pyarrow")
        if self._by_content:
            name = content_name(table)
            if name in self._target.done():
                return _told([])
            found = self._worker(table)
        else:
            name = block_name(table.column(_NUMBER)[0].as_py())
            addresses = [os.fsdecode(one) for one in table.column(_ADDRESS).to_pylist()]
            found = with_found(table.drop_columns([_NUMBER, _ADDRESS]), self._worker.found(addresses))
        self._target.write(name, found)
        failed = found.filter(pa.compute.is_valid(found.column("error")))
        texts = [c for c in failed.column_names if pa.types.is_string(failed.schema.field(c).type)]
        rows = failed.select(texts).to_pylist()
        pairs = [{"name": next(iter(row.values())) or "", "error": row["error"]} for row in rows]
        return _told([{"file": name, "pictures": len(found), "failed": pairs}])


def _told(rows: list[dict[str, Any]]) -> Any:
    pa = need("pyarrow")
    pair = pa.struct([("name", pa.string()), ("error", pa.string())])
    return pa.Table.from_pylist(
        rows, pa.schema([("file", pa.string()), ("pictures", pa.int64()), ("failed", pa.list_(pair))])
    )


def _addresses(pictures: Any) -> list[str]:
    if isinstance(pictures, str | bytes | os.PathLike):
        raise OptionError(f"{short(pictures)}: one picture, expected a list of addresses or a dataset")
    listed = [os.fspath(one) if isinstance(one, os.PathLike) else one for one in pictures]
    if not listed:
        raise OptionError("no pictures: expected at least one address")
    wrong = next((one for one in listed if not isinstance(one, str)), None)
    if wrong is not None or None in listed:
        raise OptionError(f"{short(wrong)}: expected addresses; of bytes, make a dataset with ray.data.from_items")
    return listed


def _described(listed: Sequence[str] | None) -> dict[str, Any]:
    """What tells a list of pictures from every other; nothing for datasets."""
    if listed is None:
        return {"pictures": None, "addresses_sha256": None}
    digest = hashlib.sha256()
    for one in listed:
        digest.update(one.encode("utf-8", "surrogatepass") + b"\0")
    return {"pictures": len(listed), "addresses_sha256": digest.hexdigest()}


def _block_size(
    target: BlockFolder, said: dict[str, Any], listed: Sequence[str] | None, block: int | None, most: int, resume: bool
) -> int:
    """The pictures of a block, once it is known that the folder is this run's; it then says so."""
    size = None if block is None else as_integer("block", block, low=1)
    earlier = target.run()
    if earlier is None and target.done():
        raise OptionError(f"{target.place}: holds blocks, and nothing that says of what: give another folder")
    if earlier is not None and not resume and target.done():
        raise OptionError(f"{target.place}: holds blocks of an earlier run: resume it, or give another folder")
    if earlier is not None and resume:
        _check_same(target, earlier, said)
        if size not in (None, earlier["block"]):
            raise OptionError(f"block={size}: the run that is resumed has blocks of {earlier['block']}")
        return int(earlier["block"] or 1)
    if size is None:
        size = min(_LARGEST_BLOCK, ceil(len(listed or ()) / (_BLOCKS_A_WORKER * most))) or 1
    target.say(said | {"block": size})
    return size


def _check_same(target: BlockFolder, earlier: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    try:
        if earlier["schema"] != _SCHEMA:
            raise ValueError(f"schema {earlier['schema']}")
        different = run_difference(earlier, said)
        if not different and earlier["addresses_sha256"] != said["addresses_sha256"]:
            different = f"another list of pictures ({earlier['pictures']}, now {said['pictures']})"
        int(earlier["block"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OptionError(f"{target.place}: not of a run as detect_to_parquet describes it ({error})") from error
    if different:
        raise OptionError(f"{target.place}: made with {different}: resume with the same, or give another folder")


def _kept(target: BlockFolder, before: set[str], done: Callable[[Block], None] | None) -> Summary:
    """What the run that is resumed did."""
    pictures = errors = 0
    for name in sorted(before):
        rows, failed = target.count(name)
        pictures, errors = pictures + rows, errors + failed
        if done is not None:
            done(Block(name, rows))
    return Summary(pictures, errors, len(before))


def _blocks_of(listed: Sequence[str], size: int, before: set[str]) -> tuple[Any, int]:
    """A dataset of the blocks that are missing, None if there are none, and how many these are."""
    pa = need("pyarrow")
    tables = []
    for number, first in enumerate(range(0, len(listed), size)):
        if block_name(number) not in before:
            some = listed[first : first + size]
            columns = {
                "path": pa.array([unicode_only(without_password(one)) for one in some], pa.string()),
                _ADDRESS: pa.array([os.fsencode(one) for one in some], pa.binary()),
                _NUMBER: pa.array([number] * len(some), pa.int64()),
            }
            tables.append(pa.table(columns))
    return need("ray.data").from_arrow(tables) if tables else None, len(tables)


def _found(
    dataset: Any, target: BlockFolder, job: Job, stage: Mapping[str, Any], *, by_content: bool
) -> Iterator[Block]:
    """Blocks as they are done, in no order."""
    exceptions = need("ray.exceptions")
    written = dataset.map_batches(
        _Writer,
        fn_constructor_kwargs={"job": job, "target": target, "by_content": by_content},
        batch_format="pyarrow",
        batch_size=None,
        **stage,
    )
    try:
        for row in written.iter_rows():
            yield Block(row["file"], row["pictures"], tuple((one["name"], one["error"]) for one in row["failed"]))
    except exceptions.RayError as error:
        raise _cause(error) from error


def _cause(error: BaseException) -> DarknetError:
    """What went wrong in a worker, if that is known, or in the cluster."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, DarknetError):
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return DarknetError(f"the cluster failed ({str(error).strip().splitlines()[-1]}): what is done stays; resume it")
