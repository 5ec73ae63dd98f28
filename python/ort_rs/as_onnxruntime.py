"""Running a program with ort_rs in the place of ONNX Runtime: `python -m ort_rs.as_onnxruntime script.py …`, or `-m module …`."""

import runpy
import sys
from pathlib import Path

from ort_rs._install import install_as_onnxruntime

_USAGE = "usage: python -m ort_rs.as_onnxruntime (script.py | -m module) [argument ...]"


def main(arguments: list[str]) -> None:
    """Run the program that `arguments` name, which sees the rest of them."""
    match arguments:
        case ["-m", module, *_]:
            sys.argv = arguments[1:]
            sys.path.insert(0, str(Path.cwd()))
            install_as_onnxruntime()
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *_] if not script.startswith("-"):
            sys.argv = arguments
            sys.path.insert(0, str(Path(script).resolve().parent))
            install_as_onnxruntime()
            runpy.run_path(script, run_name="__main__")
        case _:
            sys.exit(_USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
