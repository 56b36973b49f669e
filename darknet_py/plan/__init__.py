"""graph + weights → Plan: fusion, choice of kernels and placement of memory; the only part that knows both sides."""
