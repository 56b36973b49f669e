"""One module per runtime, imported only in that runtime's own process.

Each has ``version() -> str`` and ``Session(files, threads, options)`` with ``precision``; ``blob``, (1, C, H, W), which
may be replaced; and ``run() -> list of ndarray``, the heads' outputs for the blob in cfg order. A runtime that measures
itself has ``time(runs) -> list of seconds``; one whose outputs are boxes gives other means of comparison,
``before_heads()`` or ``boxes()``.
"""
