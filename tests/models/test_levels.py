"""Graphs that look like what optimization changes, but are not: every level answers the same."""

from typing import Any

import numpy as np
import onnx
import pytest

import ort_rs
from agreement import LEVELS

#: Before opset 7 a node may say along which axis its second operand stretches.
GRAPHS = {
    "a shift of images, not of channels": """<ir_version: 3, opset_import: ["" : 6]>
        g (float[2,3,4] x, float[2,3,1] w, float[2,1] k) => (float[2,2,4] y)
        <float[2,3,1] w = {1, 2, 3, 4, 5, 6}, float[2,1] k = {1, 2}> {
            c = Conv(x, w)
            y = Add <broadcast = 1, axis = 0> (c, k)
        }""",
    "a shift of rows between transposes": """<ir_version: 3, opset_import: ["" : 6]>
        g (float[3,3] x, float[3] k) => (float[3,3] y)
        <float[3] k = {1, 2, 3}> {
            a = Transpose(x)
            b = Add <broadcast = 1, axis = 0> (a, k)
            y = Transpose(b)
        }""",
}


@pytest.mark.parametrize("name", GRAPHS)
def test_agree(name: str) -> None:
    model = onnx.parser.parse_model(GRAPHS[name]).SerializeToString()
    answers: list[Any] = []
    for level in LEVELS:
        options = ort_rs.SessionOptions()
        options.graph_optimization_level = level
        session = ort_rs.InferenceSession(model, options)
        shape = [size for size in session.get_inputs()[0].shape if isinstance(size, int)]
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        answers += session.run(None, {"x": x})
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-6)
