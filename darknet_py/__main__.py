"""``python -m darknet_py``, and the program ``darknet-py``: where it begins and ends."""

from __future__ import annotations

import signal
import sys

from darknet_py.cli.stopping import exit_code, stopping

__all__ = ["run"]


def run() -> None:
    """The command line, which a signal ends without a traceback at any time: while it is loaded, too."""
    try:
        with stopping():
            from darknet_py.cli.main import main

            main()
    except KeyboardInterrupt as error:
        sys.exit(exit_code(error))
    finally:
        # All is done: while the interpreter takes itself apart, an exception would only be printed.
        for name in ("SIGINT", "SIGTERM"):
            number = getattr(signal, name)
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    run()
