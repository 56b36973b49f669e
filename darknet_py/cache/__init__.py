"""The cache of compiled kernels and measured timings: where it may lie, whom it trusts, what its files are named by.

Whatever the environment refuses costs speed, never the run. Below `kernels`, which decides what is kept here.
"""
