"""A model on ort_rs at each optimization level, against what ONNX Runtime answers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import ort_rs
from racing.difference import difference

LEVELS = tuple(ort_rs.GraphOptimizationLevel.__members__.values())
# How far apart sums in different orders may lie, as a relative L2 error.
LARGEST_ERROR = 1e-4


def reference(path: Path, feeds: list[dict[str, Any]]) -> list[list[Any]]:
    """What ONNX Runtime answers to each of `feeds`."""
    theirs: Any = onnxruntime
    session = theirs.InferenceSession(path, providers=["CPUExecutionProvider"])
    return [session.run(None, feed) for feed in feeds]


def answers(path: Path, feeds: list[dict[str, Any]], level: ort_rs.GraphOptimizationLevel, threads: int) -> list[list[Any]]:
    """What ort_rs answers to each of `feeds` at optimization level `level`, on so many threads."""
    options = ort_rs.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = threads
    session = ort_rs.InferenceSession(path, options)
    return [session.run(None, feed) for feed in feeds]


def assert_agreement(
    path: Path, feeds: list[dict[str, Any]], expected: list[list[Any]], level: ort_rs.GraphOptimizationLevel, labels: list[str]
) -> None:
    """Check that ort_rs answers as `expected`, and with the same bits on one thread and on two."""
    serial = answers(path, feeds, level, threads=1)
    parallel = answers(path, feeds, level, threads=2)
    for label, wanted, got, again in zip(labels, expected, serial, parallel, strict=True):
        error = difference(got, wanted)
        assert error <= LARGEST_ERROR, f"{label}: the relative L2 error is {error:.3g}"
        assert_same_bits(got, again, label)


def assert_same_bits(one: Any, other: Any, label: str) -> None:
    """Check that two answers are equal to the last bit."""
    if isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_same_bits(a, b, label)
    else:
        a, b = np.asarray(one), np.asarray(other)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes(), f"{label}: one thread and two differ, by {difference(a, b):.3g}"
