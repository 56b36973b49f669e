"""``darknet-py serve`` under the clients that cameras' software uses, where they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Serving, picture, serving

# `pip install deepstack-python` (Home Assistant's deepstack_object) and `deepstack-sdk validators` (DeepStack's own).
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

TOKEN = "secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("clients"), token=TOKEN, newer_names=True) as running:
        yield running


def expected(server: Serving, *cells: tuple[int, int]) -> list[dict[str, Any]]:
    """What a client is to see: whole pixels inside the picture."""
    found = server.detector.detect(picture(*cells), 0.45).clipped()
    rounded = [[round(float(side)) for side in box] for box in found.xyxy]
    names = ("x_min", "y_min", "x_max", "y_max")
    return [dict(zip(names, box, strict=True)) for box in rounded]


def test_deepstack_python(server: Serving) -> None:
    ds = pytest.importorskip("deepstack.core", reason="deepstack-python is not installed")
    client = ds.DeepstackObject(ip="127.0.0.1", port=server.port, api_key=TOKEN, min_confidence=0.45)
    predictions = client.detect(picture((0, 0), (2, 1)))
    assert ds.get_objects(predictions) == ["dog"] and ds.get_objects_summary(predictions) == {"dog": 2}
    confidences = ds.get_object_confidences(predictions, "dog")
    assert confidences == sorted(confidences, reverse=True) and all(0.45 < one <= 1 for one in confidences)
    assert [ds.format_confidence(one) for one in confidences] == [round(100 * one, 1) for one in confidences]
    seen = [{side: one[side] for side in ("x_min", "y_min", "x_max", "y_max")} for one in predictions]
    order = [(one["x_min"], one["y_min"]) for one in expected(server, (0, 0), (2, 1))]
    assert sorted((one["x_min"], one["y_min"]) for one in seen) == sorted(order)
    assert all(type(value) is int for one in seen for value in one.values())
    assert client.detect(picture()) == []
    for image, key in ((b"no picture", TOKEN), (picture(), "wrong")):
        other = ds.DeepstackObject(ip="127.0.0.1", port=server.port, api_key=key)
        with pytest.raises(ds.DeepstackException, match=r"status code: 40[01]"):
            other.detect(image)


def test_deepstack_sdk(server: Serving, tmp_path: Path) -> None:
    sdk = pytest.importorskip("deepstack_sdk", reason="deepstack-sdk is not installed, or validators")
    detection = sdk.Detection(sdk.ServerConfig(f"http://127.0.0.1:{server.port}", api_key=TOKEN))
    path = tmp_path / "scene.png"
    path.write_bytes(picture((1, 0), (3, 2)))
    found = detection.detectObject(str(path), min_confidence=0.45, output=str(tmp_path / "drawn.jpg"))
    assert len(found) == 2 and (tmp_path / "drawn.jpg").stat().st_size
    assert all(one.label == "dog" and one.x_max > one.x_min and one.confidence > 0.45 for one in found)
    with pytest.raises(Exception, match="Invalid image"):
        detection.detectObject(b"no picture")
