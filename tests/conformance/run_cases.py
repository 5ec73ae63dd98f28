"""Run cases of ONNX's backend suite by name: `python tests/conformance/run_cases.py -k gather -k scatter`."""

import argparse
import sys

import suite
from cases import all_cases


def main() -> int:
    """Run what the command line asks for, and tell what fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", action="append", default=[], metavar="TEXT", help="run cases whose name or operator contains TEXT")
    parser.add_argument("--device", default="CPU", help="where to run them: CPU, or CUDA with the CPU for what it has no kernels for")
    parser.add_argument("-v", action="store_true", help="print every failing case with its whole error")
    arguments = parser.parse_args()
    wanted = [text.lower() for text in arguments.k]
    chosen = [c for c in all_cases() if not wanted or any(text in c.name.lower() or text == c.group.lower() for text in wanted)]
    found = suite.results(chosen, arguments.device)
    if arguments.v:
        for name, error in found.items():
            if error is not None:
                print(f"{name}\n    {error}\n")
    print(suite.summary(found))
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
