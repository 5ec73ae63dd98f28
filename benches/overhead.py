"""What a call costs beside its kernels, against ONNX Runtime: `python benches/overhead.py`.

Each measure is taken in a process of its own; the two runtimes take turns, so that a slow minute of the machine hits both.
"""

import argparse
import importlib
import json
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx.parser

from racing import machine

RUNTIMES = ("onnxruntime", "ort_rs")
SECONDS = 0.4


def model(body: str) -> bytes:
    """The bytes of a model whose graph is `body`."""
    encoded: bytes = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {body}').SerializeToString()
    return encoded


def per_call(call: Callable[[], Any]) -> float:
    """Microseconds that `call` takes: the median of some rounds, after a warm-up."""
    rounds: list[float] = []
    deadline = time.perf_counter() + SECONDS
    count = 1
    while time.perf_counter() < deadline or len(rounds) < 3:
        start = time.perf_counter()
        for _ in range(count):
            call()
        spent = time.perf_counter() - start
        if spent < SECONDS / 20:
            count *= 2
            rounds.clear()
        else:
            rounds.append(spent / count)
    return 1e6 * statistics.median(rounds)


def one_node(ort: Any) -> float:
    """Microseconds of one call of a model with one tiny node."""
    x = np.ones(8, np.float32)
    session = ort.InferenceSession(model("g (float[n] x, float[n] y) => (float[n] z) { z = Add(x, y) }"))
    return per_call(lambda: session.run(None, {"x": x, "y": x}))


def one_node_bound(ort: Any) -> float:
    """Microseconds of one call of the same model with its inputs and its output bound to memory."""
    x, z = np.ones(8, np.float32), np.ones(8, np.float32)
    session = ort.InferenceSession(model("g (float[n] x, float[n] y) => (float[n] z) { z = Add(x, y) }"))
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_cpu_input("y", x)
    binding.bind_output("z", "cpu", 0, np.float32, z.shape, z.ctypes.data)
    return per_call(lambda: session.run_with_iobinding(binding))


def chain(nodes: int) -> Callable[[Any], float]:
    """Microseconds of one call of a chain of tiny nodes that is not optimized."""

    def measure(ort: Any) -> float:
        body = " ".join(f"v{i + 1} = Add({f'v{i}' if i else 'x'}, x)" for i in range(nodes))
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(model(f"g (float[8] x) => (float[8] v{nodes}) {{ {body} }}"), options)
        x = np.ones(8, np.float32)
        return per_call(lambda: session.run(None, {"x": x}))

    return measure


def decoder(ort: Any) -> float:
    """Microseconds of one decoder step whose past grows by one each call, so that no two calls have the same shapes."""
    body = """g (float[1,4,1,16] q, float[1,4,p,16] past_k, float[1,4,p,16] past_v)
        => (float[1,4,1,16] y, float[1,4,s,16] k, float[1,4,s,16] v) {
        k = Concat <axis = 2> (past_k, q)
        v = Concat <axis = 2> (past_v, q)
        t = Transpose <perm = [0, 1, 3, 2]> (k)
        scores = MatMul(q, t)
        weights = Softmax <axis = -1> (scores)
        y = MatMul(weights, v)
    }"""
    session = ort.InferenceSession(model(body))
    q = np.ones((1, 4, 1, 16), np.float32)

    def sentence() -> None:
        k = v = np.ones((1, 4, 1, 16), np.float32)
        for _ in range(steps):
            _, k, v = session.run(None, {"q": q, "past_k": k, "past_v": v})

    steps = 128
    return per_call(sentence) / steps


def eight_threads(ort: Any) -> float:
    """Microseconds between the ends of calls that eight threads make on one session."""
    body = "g (float[16,64] x) => (float[16,64] y) { a = Relu(x) b = Add(a, x) y = Sigmoid(b) }"
    session = ort.InferenceSession(model(body))
    x = np.ones((16, 64), np.float32)
    counts = [0] * 8
    start, end = threading.Barrier(9), threading.Event()

    def work(number: int) -> None:
        start.wait()
        while not end.is_set():
            session.run(None, {"x": x})
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    time.sleep(SECONDS)
    end.set()
    for thread in threads:
        thread.join()
    return 1e6 * (time.perf_counter() - begin) / sum(counts)


MEASURES: dict[str, Callable[[Any], float]] = {
    "one node": one_node,
    "one node, bound": one_node_bound,
    "chain of 10": chain(10),
    "chain of 100": chain(100),
    "chain of 1000": chain(1000),
    "decoder step": decoder,
    "eight threads": eight_threads,
}


def measured_apart(runtime: str, measure: str) -> float:
    """Take `measure` of `runtime` in a new process."""
    command = [sys.executable, __file__, "--runtime", runtime, "--measure", measure]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def table(rounds: int, wanted: list[str]) -> str:
    """All measures of both runtimes, as text."""
    versions = ", ".join(f"{name} {importlib.import_module(name).__version__}" for name in (*RUNTIMES, "numpy"))
    lines = [f"{machine.cpu()}; Python {platform.python_version()}; {versions}", ""]
    lines += ["microseconds per call   onnxruntime      ort_rs   ratio", "-" * 55]
    medians: dict[str, list[float]] = {}
    for measure in wanted:
        taken: dict[str, list[float]] = {runtime: [] for runtime in RUNTIMES}
        for number in range(rounds):
            # Who comes first changes, since a machine may be slower after a pause, or when it is warm.
            for runtime in RUNTIMES if number % 2 == 0 else reversed(RUNTIMES):
                taken[runtime].append(measured_apart(runtime, measure))
        medians[measure] = [statistics.median(taken[runtime]) for runtime in RUNTIMES]
        lines.append(row(measure, *medians[measure]))
    if {"chain of 100", "chain of 1000"} <= medians.keys():
        slopes = [(long - short) / 900 for short, long in zip(medians["chain of 100"], medians["chain of 1000"], strict=True)]
        lines.append(row("each node of a chain", *slopes))
    return "\n".join(lines)


def row(name: str, theirs: float, ours: float) -> str:
    """One line of the table."""
    return f"{name:<22} {theirs:>12.3f} {ours:>11.3f} {ours / theirs:>7.2f}"


def main() -> None:
    """Take one measure in this process, or all of them in others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each measure is taken")
    parser.add_argument("--only", choices=MEASURES, action="append", help="take only this measure")
    parser.add_argument("--runtime", choices=RUNTIMES, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.runtime:
        print(json.dumps(MEASURES[arguments.measure](importlib.import_module(arguments.runtime))))
    else:
        print(table(arguments.rounds, arguments.only or list(MEASURES)))


if __name__ == "__main__":
    main()
