"""Where results go: one record per picture or frame, one writer per kind of file."""

from darknet_py.outputs.record import Outputs, Problem, Record, Writer
from darknet_py.outputs.run import Run
from darknet_py.outputs.stems import Stems

__all__ = ["Outputs", "Problem", "Record", "Run", "Stems", "Writer"]
