"""The script that valgrind runs is true, and leaves no public name out."""

import pathlib
import re

import every_face

import softstep


def test_every_face():
    every_face.main()


def test_no_name_is_left_out():
    text = pathlib.Path(every_face.__file__).read_text()
    assert [name for name in softstep.__all__ if not re.search(rf"softstep\.{name}\b", text)] == []
