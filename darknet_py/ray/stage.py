"""Detectors between two datasets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darknet_py.arguments import MOST_THREADS, as_integer
from darknet_py.boxes.selection import Selection
from darknet_py.detector import Detector
from darknet_py.errors import OptionError
from darknet_py.models.model_files import find_model
from darknet_py.ray.carried import carry
from darknet_py.ray.installed import need
from darknet_py.ray.worker import Job, Worker, column_of
from darknet_py.tiling import Tiling

__all__ = ["actors", "column_known", "detect", "fitting", "plan_job", "prepared"]

_log = logging.getLogger(__name__)

#: Options that are the Detector's own; the others are those of its `detect`.
_OF_DETECTOR = ("size", "letterbox", "like", "exact", "precision", "looks")

#: Pictures that an actor is given at once: eight times what is computed together, so that reading ahead pays.
_BATCH = 64


def detect(
    dataset: Any,
    cfg: str | Path | None = None,
    weights: str | Path | None = None,
    names: str | Path | Sequence[str] | None = None,
    *,
    model: str | None = None,
    column: str | None = None,
    cpus: float = 1,
    workers: int | None = None,
    batch_size: int | None = _BATCH,
    tiles: str | tuple[int, int] | int | None = None,
    overlap: float = 0.2,
    ray_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Find objects in the pictures of a Ray dataset.

    A lazy stage, as of ``Dataset.map_batches``, whose actors have a Detector each. What is found is what
    `Detector.detect` finds, to the bit, on machines with the same kind of CPU.

    Parameters
    ----------
    dataset : ray.data.Dataset
        Rows with an address (a path on the actor's machine, ``http(s)://``, or ``s3://`` and others that pyarrow opens)
        or with the bytes of a picture's file.
    cfg, weights, names
        As for `Detector`; the built-in model by default. The files travel to machines that do not have them.
    model : str, optional
        The name of a public model instead ("yolov4-tiny").
    column : str, optional
        Where addresses or bytes are; else the first of bytes, path, address, url, uri, image, item, or the only one.
    cpus : float
        CPUs that Ray sets aside for an actor, and threads of its Detector.
    workers : int, optional
        Actors; by default up to as many as the cluster has CPUs for.
    batch_size : int, optional
        Pictures that an actor is given at once; None for whole blocks of the dataset.
    tiles, overlap
        As for `Detector.detect_tiled`; None looks at pictures as a whole.
    ray_options : mapping, optional
        Further options of ``Dataset.map_batches``: memory, label_selector, ...
    **options
        Those of `Detector` (size, letterbox, like, exact, precision, looks) and of its `detect` (thresh, classes, ...).

    Returns
    -------
    ray.data.Dataset
        The rows without bytes, with width, height, detections, error and error_kind; see `detections_of`.

    Raises
    ------
    DarknetError
        Before anything runs, of the model or the options. A picture that cannot be read is a row with an error.
    """
    column_known(dataset, column)
    detector, own, wanted = prepared(cfg, weights, names, model, cpus, options)
    job = plan_job(detector, own, wanted, tiles, overlap, column)
    stage = {**actors(cpus, workers), **(ray_options or {}), "batch_size": batch_size}
    return dataset.map_batches(Worker, fn_constructor_kwargs={"job": job}, batch_format="pyarrow", **stage)


def column_known(dataset: Any, column: str | None) -> None:
    """See that it is a dataset, and has the column, as far as that is known before it is read.

    Raises
    ------
    OptionError
    """
    if not isinstance(dataset, need("ray.data").Dataset):
        raise OptionError(
            f"a dataset of type {type(dataset).__name__}: expected one of Ray Data, as ray.data.from_items(paths); "
            "of a list of addresses, detect_to_parquet makes one"
        )
    known = dataset.schema(fetch_if_missing=False)
    if known is not None:
        column_of(known.names, column)


def actors(cpus: float, workers: int | None) -> dict[str, Any]:
    """How many actors, with how many CPUs, as options of ``map_batches``."""
    most = fitting(cpus, workers)
    # Of a fixed size they would leave no CPU to what reads the dataset, which they wait for.
    sizes = {"min_size": 1, "max_size": most} if workers is None else {"size": most}
    return {"compute": need("ray.data").ActorPoolStrategy(**sizes), "num_cpus": cpus}


def prepared(
    cfg: Any, weights: Any, names: Any, model: str | None, cpus: float, options: Mapping[str, Any]
) -> tuple[Detector, dict[str, Any], Selection]:
    """The Detector that actors will have, its options, and what is asked of it.

    It is made here first: what is wrong with it is said before any actor starts.

    Raises
    ------
    DarknetError
    """
    if isinstance(cpus, bool) or not isinstance(cpus, int | float) or not 0 < cpus <= MOST_THREADS:
        raise OptionError(f"cpus={cpus!r}: expected a number above 0, the CPUs of an actor")
    if model is not None:
        if cfg is not None or weights is not None:
            raise OptionError(f"model={model!r} and files: give one or the other")
        files = find_model(model)
        cfg, weights, names = files.cfg, files.weights, names or files.names
    own = {name: options[name] for name in _OF_DETECTOR if name in options} | {"threads": max(1, int(cpus))}
    wanted = {name: value for name, value in options.items() if name not in own}
    unknown = sorted(set(wanted) - set(Selection._fields))
    if unknown:
        raise OptionError(f"{unknown[0]}={options[unknown[0]]!r}: no option of Detector or of its detect")
    detector = Detector(cfg, weights, names, **own)
    return detector, own, detector.selection(**wanted)


def plan_job(
    detector: Detector, own: Mapping[str, Any], wanted: Selection, tiles: Any, overlap: float, column: str | None
) -> Job:
    """What actors need to be like this detector; `own` are its options."""
    cfg, weights = (carry(one) for one in detector.network.files)
    asked = {"thresh": wanted.thresh, "nms": wanted.nms, **wanted.options()}
    return Job(cfg, weights, detector.names, own, asked, tiled_options(detector, tiles, overlap), column)


def tiled_options(detector: Detector, tiles: Any, overlap: float) -> dict[str, Any] | None:
    """The options of `Detector.detect_tiled`, checked; None without tiles."""
    if tiles is None:
        return None
    blob = detector.graph.blob
    Tiling.asking(tiles, overlap, "whole", (blob.w, blob.h))
    return {"tiles": tiles, "overlap": overlap}


def fitting(cpus: float, workers: int | None) -> int:
    """How many actors there may be: as asked, or as many as the cluster has CPUs for.

    Raises
    ------
    OptionError
    """
    ray = need("ray")
    if workers is not None:
        return as_integer("workers", workers, low=1)
    if not ray.is_initialized():
        ray.init()
    there = ray.cluster_resources().get("CPU", 0)
    if there < cpus:
        _log.warning("cpus=%g, but the cluster has %g: no worker can start until it has more", cpus, there)
    return max(1, int(there // cpus))
