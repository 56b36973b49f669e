"""Every block of code on the cookbook's pages runs as it stands there, and does what the page says."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import pytest
from recipes import NAMES, PAGES, Kitchen, blocks, kitchen, stand_in

from darknet_py import Detector

pytestmark = pytest.mark.usefixtures("built_in")


@pytest.fixture
def stove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kitchen]:
    """A kitchen in the working directory, whose files can be imported for as long as it is open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(Detector, "from_name", stand_in)
    before = set(sys.modules)
    with kitchen(tmp_path) as open_one:
        yield open_one
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def rows(file: str) -> list[list[str]]:
    with open(file, newline="") as text:
        return list(csv.reader(text))


def test_every_page_has_its_test() -> None:
    tested = set(re.findall(r'(?:cook|blocks)\("([\w-]+)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert {page.stem for page in PAGES.glob("*.md")} == tested
    listed = set(re.findall(r"\]\(([\w-]+)\.md\)", (PAGES / "index.md").read_text(encoding="utf-8")))
    assert {*listed, "index"} == tested and not blocks("index")


def test_video_to_csv(stove: Kitchen, capsys: pytest.CaptureFixture[str]) -> None:
    stove.cook("video-to-csv")
    boxes, counts, own = rows("boxes.csv"), rows("counts.csv"), rows("boxes_of_mine.csv")
    assert counts[0][4:] == ["person", "car"] and len(counts) == 11
    assert sum(int(n) for row in counts[1:] for n in row[4:]) == len(boxes) - 1 > 10
    assert len(own) == len(boxes)
    assert {row[2] for row in own[1:]} <= {"person", "car"} and own[-1][0] == "10"
    most = max(sum(row[0] == str(number) and row[2] == "car" for row in own) for number in range(1, 11))
    assert f"{most} × car at 0." in capsys.readouterr().out


def test_supervision(stove: Kitchen, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("supervision")
    pytest.importorskip("trackers", reason="pip install trackers")
    stove.cook("supervision")
    area = rows("area.csv")
    assert len(area) == 11 and int(area[-1][1]) > 0
    assert len(area[-1][2].split()) == int(area[-1][1])
    assert set(area[-1][2].split()) & set(area[5][2].split()), "nobody keeps a number"
    crossed = re.search(r"(\d+) crossed the line one way, (\d+) the other way", capsys.readouterr().out)
    assert crossed and sorted((int(crossed[1]) > 0, int(crossed[2]) > 0)) == [False, True]
    film = cv2.VideoCapture("tracked.mp4")
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    film.release()


def test_sahi(stove: Kitchen, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sahi", reason="pip install sahi")
    stove.cook("sahi")
    found = stove.names["result"].object_prediction_list
    whole = Detector(names=NAMES).detect_tiled("street.jpg", tiles=(416, 416), thresh=0.3)
    assert abs(len(found) - len(whole)) <= 2 and len(found) > 4
    best = max(found, key=lambda one: one.score.value)
    near = min(abs(whole.xyxy - best.bbox.to_xyxy()).max(axis=1))
    assert near < 12 and best.category.name == "car"
    assert best.category.name in capsys.readouterr().out
    own = stove.names["DarknetModel"](config_path=None, model=Detector(names=NAMES), confidence_threshold=0.3)
    from sahi.predict import get_prediction

    assert len(get_prediction("street.jpg", own).object_prediction_list) == len(Detector().detect("street.jpg", 0.3))


def test_fiftyone(stove: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    fo = pytest.importorskip("fiftyone", reason="pip install fiftyone")
    made = SimpleNamespace(samples=[])
    made.add_samples = made.samples.extend
    monkeypatch.setattr(fo, "Dataset", lambda name, overwrite: made)
    stove.cook("fiftyone")
    assert len(made.samples) == 2
    for sample in made.samples:
        found = Detector(names=NAMES).detect(sample.filepath, 0.1).clipped()
        labels = sample["darknet"].detections
        assert [one.label for one in labels] == list(found.class_names) and labels
        left, top, _, height = labels[0].bounding_box
        assert left * found.image_width == pytest.approx(found.xyxy[0, 0], abs=1e-2)
        assert (top + height) * found.image_height == pytest.approx(found.xyxy[0, 3], abs=1e-2)


def test_label_studio(stove: Kitchen) -> None:
    stove.cook("label-studio")
    tasks = json.loads(Path("tasks.json").read_text())
    assert len(tasks) == 2 and sum(len(one["predictions"][0]["result"]) for one in tasks) > 4
    interface = ET.fromstring(stove.names["interface"])
    control, image = interface.find("RectangleLabels"), interface.find("Image")
    words = {label.get("value") for label in control}
    for task in tasks:
        assert "image" in task["data"] and image.get("value") == "$image"
        for region in task["predictions"][0]["result"]:
            assert (region["from_name"], region["to_name"]) == (control.get("name"), control.get("toName"))
            value = region["value"]
            assert set(value["rectanglelabels"]) <= words
            assert min(value["x"], value["y"]) >= 0 < min(value["width"], value["height"])
            assert max(value["x"] + value["width"], value["y"] + value["height"]) <= 100.001


def test_label_studio_accepts_it(stove: Kitchen) -> None:
    interfaces = pytest.importorskip("label_studio_sdk.label_interface", reason="pip install label-studio-sdk")
    stove.cook("label-studio")
    interface = interfaces.LabelInterface(stove.names["interface"])
    interface.validate()
    for task in json.loads(Path("tasks.json").read_text()):
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
            spoilt = json.loads(json.dumps(prediction).replace('"car"', '"carr"'))
            assert spoilt == prediction or interface.validate_prediction(spoilt, return_errors=True)


def test_cvat(stove: Kitchen) -> None:
    stove.cook("cvat")
    root = ET.parse("annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [name.text for name in root.iterfind("meta/task/labels/label/name")] == ["person", "car"]
    images = root.findall("image")
    assert [image.get("name") for image in images] == sorted(one.name for one in Path("photos").iterdir())
    for image in images:
        for box in image.findall("box"):
            left, top, right, bottom = (float(str(box.get(key))) for key in ("xtl", "ytl", "xbr", "ybr"))
            assert 0 <= left < right <= float(str(image.get("width")))
            assert 0 <= top < bottom <= float(str(image.get("height")))
    assert len(root.findall("image/box")) > 4


def test_cvats_file_is_read_by_another_program(stove: Kitchen) -> None:
    cvat = pytest.importorskip("fiftyone.utils.cvat", reason="pip install fiftyone")
    stove.cook("cvat")
    _, labels, images = cvat.load_cvat_image_annotations("annotations.xml")
    assert [label["name"] for label in labels.labels] == ["person", "car"]
    boxes = ET.parse("annotations.xml").getroot().findall("image/box")
    assert sum(len(image.boxes) for image in images) == len(boxes) > 4


def test_fastapi(stove: Kitchen) -> None:
    fastapi = pytest.importorskip("fastapi", reason="pip install fastapi")
    pytest.importorskip("uvicorn", reason="pip install uvicorn")
    stove.cook("fastapi")
    (answer,) = map(json.loads, stove.printed)
    assert (answer["width"], answer["height"]) == (1024, 768)
    assert answer["detections"] == Detector(names=NAMES).detect("street.jpg").records()
    with pytest.raises(fastapi.HTTPException, match="400"):
        stove.names["detect"](b"no picture")


@pytest.mark.slow
def test_gunicorn(stove: Kitchen) -> None:
    pytest.importorskip("gunicorn", reason="pip install gunicorn")
    stove.cook("gunicorn")
    (answer,) = map(json.loads, stove.printed)
    assert answer == Detector(names=NAMES).detect("street.jpg").records()
    said: list[str] = []
    refused = stove.names["app"]({"REQUEST_METHOD": "GET"}, lambda status, headers: said.append(status))
    assert said == ["400 Bad Request"] and b"POST the bytes" in refused[0]


@pytest.mark.slow
def test_gradio(stove: Kitchen) -> None:
    """In a process of its own, with a client: Gradio leaves sockets and loops open."""
    if not importlib.util.find_spec("gradio"):
        pytest.skip("pip install gradio")
    (block,) = (one for one in blocks("gradio") if one.title)
    Path(block.title).write_text(block.text)
    ask = """
import json, runpy
from gradio_client import Client, handle_file

page = runpy.run_path("page.py", run_name="page")
_, address, _ = page["page"].launch(prevent_thread_lock=True, quiet=True)
answer = Client(address, verbose=False).predict(handle_file("street.jpg"), 0.25, api_name="/look")
print(json.dumps([one["label"] for one in answer["annotations"]]), page["look"](None, 0.25))
"""
    environment = {**os.environ, "PYTHONPATH": str(stove.folder), "GRADIO_ANALYTICS_ENABLED": "False", "no_proxy": "*"}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    labels, nothing = done.stdout.splitlines()[-1].rsplit(" ", 1)
    found = Detector(names=NAMES).detect("street.jpg")
    assert nothing == "None"
    assert [one.partition(" ")[0] for one in json.loads(labels)] == list(found.class_names)


def test_docker(stove: Kitchen) -> None:
    lines = [line for block in blocks("docker") for line in block.text.splitlines()]
    text = (PAGES.parents[1] / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    build, serve, curl, look = lines
    assert build.startswith("$ docker build -f deploy/Dockerfile -t darknet-py --build-arg MODEL=")
    assert "\nARG MODEL=" in text and "\nARG CPU=haswell" in text
    assert "-p 127.0.0.1:8632:8632 darknet-py" in serve and "EXPOSE 8632" in text
    assert curl == "$ curl --data-binary @street.jpg http://127.0.0.1:8632/detect"
    volume, command = re.search(r"-v \"\$PWD/(\w+):/\w+:ro\" darknet-py (darknet-py .*) > ", look).groups()  # type: ignore[union-attr]
    stove._command("$ " + command.replace(f"/{volume}", volume))
    assert len(stove.printed[0].splitlines()) == 2


def test_raspberry_pi(stove: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    class Done(Exception):
        pass

    class Picamera2:
        """Two pictures, and the end."""

        left = 2

        def create_video_configuration(self, main: dict[str, Any]) -> dict[str, Any]:
            assert main == {"format": "RGB888", "size": (640, 480)}
            return main

        def configure(self, configuration: dict[str, Any]) -> None:
            self.size = configuration["size"]

        def start(self) -> None:
            self.started = True

        def capture_array(self) -> Any:
            assert self.started
            self.left -= 1
            if self.left < 0:
                raise Done
            return cv2.resize(cv2.imread("street.jpg"), self.size)

    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Picamera2))
    monkeypatch.setattr("darknet_py.sources.frames.open_video", None, raising=True)
    commands: list[list[str]] = []
    monkeypatch.setattr(stove, "_darknet", commands.append)
    with pytest.raises(Done):
        stove.cook("raspberry-pi")
    assert commands[0] == ["warmup", "yolov4-codes"] and commands[1] == ["bench", "yolov4-codes"]
    stove_again = Kitchen._darknet
    stove_again(stove, commands[0])
    stove_again(stove, [*commands[1], "--repeat", "1"])
    stove_again(stove, [*commands[2][:-1], "--every", "5", "street.mp4"])
    assert len(stove.printed[-1].splitlines()) == 2


def test_ros2(stove: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node, in a ROS of one message."""
    sent: list[Any] = []
    image = SimpleNamespace(header=SimpleNamespace(stamp=17, frame_id="camera"))

    class Node:
        def __init__(self, name: str) -> None:
            self.name = name

        def declare_parameter(self, name: str, value: Any) -> Any:
            return SimpleNamespace(value=value)

        def create_publisher(self, kind: type, topic: str, depth: int) -> Any:
            assert (kind, topic) == (Message, "detections")
            return SimpleNamespace(publish=sent.append)

        def create_subscription(self, kind: type, topic: str, callback: Any, profile: str) -> None:
            assert (topic, profile) == ("image_raw", "newest")
            self.callback = callback

        def destroy_node(self) -> None:
            sent.append("destroyed")

    class Message:
        """Any of vision_msgs': fields appear as they are asked for."""

        def __init__(self, header: Any = None) -> None:
            self.header, self.results, self.detections = header, [], []
            self.hypothesis = SimpleNamespace()
            self.bbox = SimpleNamespace(center=SimpleNamespace(position=SimpleNamespace()))

    class CvBridge:
        def imgmsg_to_cv2(self, message: Any, encoding: str) -> Any:
            assert message is image and encoding == "bgr8"
            return cv2.imread("street.jpg")

    def module(name: str, **names: Any) -> ModuleType:
        made = ModuleType(name)
        made.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    module("rclpy", init=lambda: None, spin=lambda node: node.callback(image), try_shutdown=lambda: sent.append("shut"))
    module("rclpy.node", Node=Node)
    module("rclpy.qos", qos_profile_sensor_data="newest")
    module("cv_bridge", CvBridge=CvBridge)
    module("sensor_msgs")
    module("sensor_msgs.msg", Image=object)
    module("vision_msgs")
    module("vision_msgs.msg", Detection2D=Message, Detection2DArray=Message, ObjectHypothesisWithPose=Message)
    stove.cook("ros2")
    stove.names["main"]()
    answer = sent[0]
    assert sent[1:] == ["destroyed", "shut"] and answer.header is image.header
    found = Detector(names=NAMES).detect("street.jpg")
    assert [one.results[0].hypothesis.class_id for one in answer.detections] == list(found.class_names)
    box, (left, top, right, bottom) = answer.detections[0].bbox, found.xyxy[0]
    assert box.center.position.x == pytest.approx((left + right) / 2, abs=1e-2)
    assert box.size_y == pytest.approx(bottom - top, abs=1e-2)
