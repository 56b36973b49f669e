"""A record goes to every writer; targets are opened before the work and left valid whatever happens."""

import pytest

from darknet_py.boxes.detections import Detections
from darknet_py.errors import ImageError, OptionError
from darknet_py.outputs import Outputs, Problem, Record, Run

NOTHING = Detections.empty(64, 48)
RUN = Run(("dog",), {}, {})


class Told:
    """A writer that says what became of it."""

    def __init__(self, name="", log=None, pixels=False, refuses=False):
        self.needs_pixels, self.name, self.refuses = pixels, name, refuses
        self.log = [] if log is None else log

    def __enter__(self):
        if self.refuses:
            raise OptionError("cannot be written")
        self.log.append(f"{self.name}open")
        return self

    def begin(self, run):
        self.log.append(f"{self.name}begin {run.names[0]}")

    def write(self, record):
        self.log.append(f"{self.name}{record.name}")

    def __exit__(self, kind, error, trace):
        self.log.append(f"{self.name}{kind.__name__ if kind else 'finished'}")


def test_a_record_has_detections_or_an_error():
    assert Record("a.jpg", 1, NOTHING).size == (64, 48)
    failed = Record.failed("b.jpg", 2, ImageError("no picture"), stem="b")
    assert failed.error == Problem("ImageError", "no picture") and failed.size is None
    for more in ({}, {"detections": NOTHING, "error": Problem("ImageError", "")}):
        with pytest.raises(ValueError, match="either detections or an error"):
            Record("a.jpg", 1, **more)


def test_a_frame_has_a_file_name_of_its_own():
    assert Record("a.jpg", 1, NOTHING, stem="a").file_stem == "a"
    assert Record("v.mp4", 9, NOTHING, frame=7, time=0.2, stem="v").file_stem == "v_7"


def test_every_writer_gets_every_record_in_order():
    log = []
    with Outputs([Told("1", log), Told("2", log)]) as outputs:
        outputs.begin(RUN)
        outputs.write(Record("a", 1, NOTHING))
        outputs.write(Record.failed("b", 2, ImageError("")))
    assert log == ["1open", "2open", "1begin dog", "2begin dog", "1a", "2a", "1b", "2b", "2finished", "1finished"]
    assert (outputs.count, outputs.failures, outputs.needs_pixels) == (1, 1, False)
    assert Outputs([Told(), Told(pixels=True)]).needs_pixels


def test_an_exception_reaches_the_writers():
    told = Told()
    with pytest.raises(KeyboardInterrupt), Outputs([told]):
        raise KeyboardInterrupt
    assert told.log == ["open", "KeyboardInterrupt"]


def test_what_was_opened_is_left_when_another_target_cannot_be():
    told = Told()
    with pytest.raises(OptionError), Outputs([told, Told(refuses=True)]):
        pytest.fail("the work began")
    assert told.log == ["open", "OptionError"]


class Remembers(Told):
    """A writer that knows an earlier run."""

    def earlier(self):
        yield Record("a", 1, NOTHING)
        yield Record.failed("v", 2, ImageError(""), frame=3)

    def done(self, name, frame):
        return (name, frame) in (("a", None), ("v", 3))

    def last_frame(self, name):
        return 3 if name == "v" else 0


def test_what_a_resumed_run_has_goes_to_all_others():
    told, journal = Told(), Remembers()
    with Outputs([told], journal) as outputs:
        outputs.begin(RUN)
        assert (outputs.count, outputs.failures, outputs.resumed) == (1, 1, 2)
        assert outputs.done("a") and outputs.done("v", 3) and not outputs.done("v") and not outputs.done("v", 4)
        outputs.write(Record("v", 3, NOTHING, frame=4))
    assert told.log == ["open", "begin dog", "a", "v", "v", "finished"]
    assert journal.log == ["open", "begin dog", "v", "finished"]
    assert not Outputs([told]).done("a") and Outputs([told]).last_frame("v") == 0
    assert Outputs([told], journal).last_frame("v") == 3
