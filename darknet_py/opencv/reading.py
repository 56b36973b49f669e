"""``readNetFromDarknet`` and ``readNet`` as OpenCV 4 had them."""

from __future__ import annotations

import os
from typing import Any

from darknet_py.errors import OptionError
from darknet_py.opencv.failure import as_cv2_errors
from darknet_py.opencv.net import Net
from darknet_py.opencv.patch import original
from darknet_py.opencv.source import open_source

__all__ = ["is_darknet", "readNet", "readNetFromDarknet"]


@as_cv2_errors
def readNetFromDarknet(
    cfgFile: Any = None, darknetModel: Any = None, *, bufferCfg: Any = None, bufferModel: Any = None
) -> Net:
    """Read a Darknet network.

    Parameters
    ----------
    cfgFile, bufferCfg : str, Path, or bytes or uint8 array of the file's content
    darknetModel, bufferModel : the same, optional
        The weights. Without them the net can be asked for its structure only.

    Returns
    -------
    Net

    Raises
    ------
    CfgError, UnsupportedError, WeightsError, OptionError
        Each is a ``cv2.error`` too.
    """
    cfg, weights = (bufferCfg, bufferModel) if cfgFile is None else (cfgFile, darknetModel)
    return Net(open_source(cfg, weights))


@as_cv2_errors
def readNet(model: Any = "", config: Any = "", framework: Any = "", **options: Any) -> Any:
    """Read a Darknet network: its two files in either order, or ``readNet("darknet", weights, cfg)`` of buffers.

    Whatever is not Darknet's goes to OpenCV's own ``readNet``.
    """
    if not is_darknet(model, config, framework):
        given = {"model": model, "config": config, "framework": framework, **options}
        return original("readNet")(**{name: value for name, value in given.items() if not _is_missing(value)})
    # Of buffers: the framework, then the weights, then the cfg.
    buffers = options.get("bufferModel", config), options.get("bufferConfig", framework)
    if "bufferModel" in options or (isinstance(model, str) and model.lower() == "darknet"):
        return Net(open_source(buffers[1], buffers[0]))
    first, second = (os.fsdecode(name) if name else "" for name in (model, config))
    cfg, weights = (first, second) if _ends(first, ".cfg") or _ends(second, ".weights") else (second, first)
    if not cfg:
        raise OptionError(f"readNet({model!r}): a .weights file without its .cfg: give both")
    return Net(open_source(cfg, weights or None))


def _is_missing(value: Any) -> bool:
    return isinstance(value, str) and not value


def is_darknet(model: Any, config: Any = "", framework: Any = "") -> bool:
    """Whether arguments of ``readNet`` mean a Darknet network."""
    if isinstance(model, str) and model.lower() == "darknet":
        return True
    if isinstance(framework, str) and framework.lower() == "darknet":
        return True
    paths = [os.fsdecode(name) for name in (model, config) if isinstance(name, str | os.PathLike)]
    return any(_ends(path, ".cfg") or _ends(path, ".weights") for path in paths)


def _ends(path: str, suffix: str) -> bool:
    return path.lower().endswith(suffix)
