"""``python -m darknet_py``: the same as ``darknet-py``."""

from darknet_py.cli.main import main

if __name__ == "__main__":
    main()
