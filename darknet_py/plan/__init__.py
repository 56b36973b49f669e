"""graph + weights → Plan: fusion, choice of kernels and placement of memory; the only part that knows both sides."""

from darknet_py.plan.packing import PackedWeights, pack_weights
from darknet_py.plan.plan import Plan, State, make_plan

__all__ = ["PackedWeights", "Plan", "State", "make_plan", "pack_weights"]
