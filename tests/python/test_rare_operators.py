"""Operators of ONNX Runtime's own domain that few models have."""

from collections.abc import Iterator

import numpy as np
import pytest

from nodes import RNG, Case, assert_as_onnx_runtime, floats


def crops() -> Iterator[Case]:
    images = floats(3, 2, 5, 7)
    rois = np.concatenate([RNG.random((4, 4)), [[0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2], [-0.2, 0.1, 1.1, 1.3]]]).astype(np.float32)
    owners = RNG.integers(0, 3, len(rois)).astype(np.int32)
    for size in ([3, 4], [1, 1], [8, 1], [5, 7]):
        for mode in ("bilinear", "nearest"):
            attributes = {"mode": mode, "extrapolation_value": -2.0}
            yield Case("CropAndResize", [images, rois, owners, np.array(size, np.int32)], attributes)
    yield Case("CropAndResize", [images, rois[:0], owners[:0], np.array([2, 2], np.int32)])


def paths() -> Iterator[Case]:
    for rows, cols in ((1, 1), (5, 5), (3, 9), (9, 3), (1, 6), (6, 1), (40, 33)):
        yield Case("DynamicTimeWarping", [floats(rows, cols)])
        # Many paths cost the same.
        yield Case("DynamicTimeWarping", [RNG.integers(0, 2, (1, rows, cols)).astype(np.float32)])


def tokens() -> Iterator[Case]:
    for _ in range(40):
        source, current = RNG.integers(0, 4, RNG.integers(1, 9)), RNG.integers(0, 4, RNG.integers(1, 5))
        start = int(RNG.integers(0, len(source)))
        predicted = np.append(source[start:], RNG.integers(0, 4))
        predicted[RNG.integers(0, len(predicted))] = RNG.integers(0, 4)
        least = int(RNG.integers(1, 3))
        attributes = {"min_ngram_size": least, "max_ngram_size": least + int(RNG.integers(0, 3))}
        inputs = [source, current, np.array(start)]
        yield Case("BifurcationDetector", inputs, attributes, 2)
        yield Case("BifurcationDetector", [*inputs, predicted], attributes, 2)


CASES = [*crops(), *paths(), *tokens(), Case("SampleOp", [floats(2, 3)])]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_as_onnx_runtime(case: Case) -> None:
    assert_as_onnx_runtime(case)
