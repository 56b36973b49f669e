"""Fuzzing that stays: ``python tests/fuzz`` runs it for as long as one likes, CI for a minute each, see `__main__`.

`targets` are functions of bytes, which `coverage_guided` searches by libFuzzer; `random_networks` grows valid networks,
which `network_runs` compares with naive layers. What either finds becomes a test of its own.
"""
