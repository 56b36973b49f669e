"""What several test files share: the reference data beside the project, and a folder for tiny networks."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[1].parent / "shared"


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
