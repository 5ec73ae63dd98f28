"""How near operators that only move or sum memory come to its speed, against ONNX Runtime: `python benches/bandwidth.py`.

One thread, pinned to one processor; both runtimes take turns in one process. What is read and what is written counts once; memory that is
copied by numpy is what there is to reach.
"""

import argparse
import importlib
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx.parser

from racing import machine

RUNTIMES = ("onnxruntime", "ort_rs")
ROUNDS = 15


class Case(NamedTuple):
    """One node over one large input."""

    name: str
    shape: tuple[int, ...]
    node: str


CASES = (
    Case("Transpose, rows and columns", (2048, 2048), "Transpose <perm = [1, 0]> (x)"),
    Case("Transpose, channels last", (1, 64, 256, 256), "Transpose <perm = [0, 2, 3, 1]> (x)"),
    Case("Transpose, channels first", (1, 256, 256, 64), "Transpose <perm = [0, 3, 1, 2]> (x)"),
    Case("Transpose, heads", (8, 512, 12, 64), "Transpose <perm = [0, 2, 1, 3]> (x)"),
    Case("ReduceSum, last axis", (4096, 1024), "ReduceSum <keepdims = 0> (x, last)"),
    Case("ReduceSum, first axis", (1024, 4096), "ReduceSum <keepdims = 0> (x, first)"),
    Case("ReduceMax, middle axis", (64, 256, 256), "ReduceMax <keepdims = 0> (x, middle)"),
    Case("Softmax", (4096, 1024), "Softmax <axis = -1> (x)"),
    Case("Add", (2048, 2048), "Add(x, x)"),
    Case("Slice", (2048, 2048), "Slice (x, from, to, last)"),
    Case("Concat", (2048, 1024), "Concat <axis = 1> (x, x)"),
)
CONSTANTS = {"last": -1, "first": 0, "middle": 1, "from": 1, "to": 2000}


def model(case: Case) -> bytes:
    """The bytes of a model of the node alone."""
    shape = ",".join(map(str, case.shape))
    used = ", ".join(f"int64[1] {name} = {{{value}}}" for name, value in CONSTANTS.items() if re.search(rf"\b{name}\b", case.node))
    text = f'<ir_version: 9, opset_import: ["" : 20]> g (float[{shape}] x) => (float y) <{used}> {{ y = {case.node} }}'
    parsed = onnx.parser.parse_model(text)
    # Whatever the node gives.
    parsed.graph.output[0].type.tensor_type.ClearField("shape")
    encoded: bytes = parsed.SerializeToString()
    return encoded


def seconds(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def copied() -> float:
    """Billions of bytes a second, read and written, of a copy of an array as large as the inputs."""
    x = np.ones(4 << 20, np.float32)
    y = np.empty_like(x)
    return 2 * x.nbytes / statistics.median(seconds(lambda: np.copyto(y, x)) for _ in range(ROUNDS)) / 1e9


def speeds(case: Case) -> list[float]:
    """Billions of bytes a second of both runtimes."""
    x = np.random.default_rng(0).standard_normal(case.shape, np.float32)
    sessions = []
    for name in RUNTIMES:
        ort = importlib.import_module(name)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model(case), options, providers=["CPUExecutionProvider"])
        # The result is written where it was before, so that no memory is asked for.
        value = ort.OrtValue.ortvalue_from_numpy(session.run(None, {"x": x})[0])
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_ortvalue_output("y", value)
        sessions.append((session, binding))
    written = sessions[0][1].get_outputs()[0].numpy().nbytes
    taken: list[list[float]] = [[] for _ in RUNTIMES]
    for _ in range(ROUNDS):
        for (session, binding), times in zip(sessions, taken, strict=True):
            times.append(seconds(lambda s=session, b=binding: s.run_with_iobinding(b)))  # type: ignore[misc]
    return [(x.nbytes + written) / statistics.median(times) / 1e9 for times in taken]


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="cases with this in their name")
    wanted = parser.parse_args().only or ""
    os.sched_setaffinity(0, machine.cores()[-1:])
    versions = ", ".join(f"{name} {importlib.import_module(name).__version__}" for name in (*RUNTIMES, "numpy"))
    limit = copied()
    print(f"{machine.cpu()}; Python {platform.python_version()}; {versions}; numpy copies {limit:.1f} GB/s\n")
    print(f"{'GB/s, one thread':<30} onnxruntime      ort_rs   of a copy\n{'-' * 65}")
    for case in CASES:
        if wanted in case.name:
            theirs, ours = speeds(case)
            print(f"{case.name:<30} {theirs:>11.1f} {ours:>11.1f} {ours / limit:>10.0%}")


if __name__ == "__main__":
    main()
