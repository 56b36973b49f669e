"""Every source gets a file name of its own, the same in every run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darknet_py.outputs import Stems


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["photos/dog.jpg", "cat.png", "noending"], ["dog", "cat", "noending"]),
        (["a/dog.jpg", "b/dog.png", "c/DOG.jpg"], ["dog", "dog-2", "DOG-3"]),
        (["dog-2.jpg", "a/dog.jpg", "b/dog.jpg"], ["dog-2", "dog", "dog-3"]),
        (["a.b.jpg", ".hidden"], ["a.b", ".hidden"]),
        (["-", "0"], ["stdin", "0"]),
        (
            ["http://host/x/dog%20one.jpg?size=2", "rtsp://host:554/", "http://h/a%2Fb:c.jpg"],
            ["dog one", "host", "b_c"],
        ),
        (["x" * 300 + ".jpg", "é" * 300 + ".jpg"], ["x" * 200, "é" * 100]),
    ],
)
def test_stems(sources, expected):
    stems = Stems()
    assert [stems.of(source) for source in sources] == expected


def test_files_of_frames_are_no_other_sources():
    stems = Stems()
    assert stems.of("v.mp4", frames=True) == "v"
    assert stems.of("v_3.jpg") == "v_3-2"
    assert stems.of("w_3.jpg") == "w_3"
    assert stems.of("w.mp4", frames=True) == "w-2"


@given(st.lists(st.tuples(st.sampled_from("a A a_1 a_1_1 a-2 A_1 b".split()), st.booleans()), max_size=12))
def test_no_two_files_have_one_name(sources):
    stems, again = Stems(), Stems()
    files = set()
    for name, frames in sources:
        stem = stems.of(f"{name}.x", frames=frames)
        assert again.of(f"{name}.x", frames=frames) == stem
        new = {f"{stem}_{number}".casefold() for number in (1, 2)} if frames else {stem.casefold()}
        assert not new & files
        files |= new
