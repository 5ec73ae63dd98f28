"""The command line `ort-rs`, also `python -m ort_rs`: looks at a model, runs it, measures it."""

import signal
import sys

from ort_rs import _core
from ort_rs._doctor import doctor


def main() -> int:
    """Run the command line of this process, and give its exit status."""
    if sys.argv[1:] == ["doctor"]:
        # Here there is more to tell: Python and its packages.
        print(doctor())
        return 0
    # The work is done without the interpreter, which could not see an interrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.cli(["ort-rs", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
