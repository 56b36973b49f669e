"""What several test files share: the reference data beside the project, the built-in model, a folder for networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import opencv_nets
import pytest
from download_orders import make_order
from file_server import FileServer, serve

from darknet_py import CfgError, WeightsError
from darknet_py.models.download import Order
from darknet_py.shipped import resolve_model

SHARED = Path(__file__).parents[1].parent / "shared"
# For `training` and `benchmarks`; last, so that an installed darknet_py comes before the checkout's.
sys.path.append(str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the networks of `opencv_nets`."""
    folder = tmp_path_factory.mktemp("opencv")
    opencv_nets.write(folder)
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no reference data (../shared) beside the project")
    return SHARED


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files whose names nobody else uses; unlike tmp_path it may serve every example of a property."""
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="session")
def built_in() -> Path:
    """The cfg of the built-in model; the test is skipped while its weights are not there."""
    try:
        return resolve_model()[0]
    except (CfgError, WeightsError) as error:
        pytest.skip(f"the built-in model is not trained yet: {error}")


@pytest.fixture
def torch_on_one_thread() -> Iterator[None]:
    """PyTorch with one thread and a known seed; the number of threads is as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A web server of the test's own, which no proxy stands before."""
    monkeypatch.setenv("no_proxy", "*")
    with serve() as running:
        yield running


@pytest.fixture
def order(server: FileServer, tmp_path: Path) -> Callable[..., Order]:
    """`make_order` for that server and a folder of the test's own."""
    return partial(make_order, server, tmp_path / "models")
