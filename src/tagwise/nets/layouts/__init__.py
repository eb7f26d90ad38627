"""Weights of other libraries: their files, the names of their tensors, and the way to ours and back."""

from tagwise.nets.layouts.families import Layout, recognise
from tagwise.nets.layouts.files import read_state, strip_wrappers, tensor_names
from tagwise.nets.layouts.fitting import guess_design, to_canonical
from tagwise.nets.layouts.outward import from_canonical

__all__ = [
    "Layout",
    "from_canonical",
    "guess_design",
    "read_state",
    "recognise",
    "strip_wrappers",
    "tensor_names",
    "to_canonical",
]
