"""The same on a device, where there is one: the models of these tests against the CPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

import ort_rs

CUDA = "CUDAExecutionProvider"

pytestmark = pytest.mark.skipif(CUDA not in ort_rs.get_available_providers(), reason="there is no CUDA device, driver or kernel here")

Array = npt.NDArray[np.generic]


def model(nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]], weights: dict[str, Array], kind: int) -> bytes:
    made = [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes]
    x = helper.make_tensor_value_info("x", kind, ["n", 64])
    y = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph(made, "g", [x], [y], [numpy_helper.from_array(a, n) for n, a in weights.items()])
    serialized: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    return serialized


def compare(serialized: bytes, x: Array, tolerance: float) -> None:
    options = ort_rs.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    device = ort_rs.InferenceSession(serialized, options, providers=[CUDA])
    host = ort_rs.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    for _ in range(2):
        got, want = device.run(None, {"x": x})[0], host.run(None, {"x": x})[0]
        np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "kind", "tolerance"), [(np.float32, TensorProto.FLOAT, 1e-4), (np.float16, TensorProto.FLOAT16, 1e-2)])
@pytest.mark.parametrize("rows", [1, 17, 300])
def test_layers(rows: int, dtype: type[np.floating], kind: int, tolerance: float) -> None:
    rng = np.random.default_rng(rows)
    weights = {
        "w": (rng.standard_normal((64, 96)) / 8).astype(dtype),
        "b": rng.standard_normal(96).astype(dtype),
        "v": (rng.standard_normal((96, 64)) / 10).astype(dtype),
        "g": rng.standard_normal(64).astype(dtype),
    }
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("Gemm", ["x", "w", "b"], ["h"], {}),
        ("Gelu", ["h"], ["a"], {}),
        ("MatMul", ["a", "v"], ["m"], {}),
        ("Add", ["m", "x"], ["r"], {}),
        ("LayerNormalization", ["r", "g"], ["l"], {}),
        ("Transpose", ["l"], ["t"], {"perm": [1, 0]}),
        ("Softmax", ["t"], ["y"], {"axis": -1}),
    ]
    compare(model(nodes, weights, kind), rng.standard_normal((rows, 64)).astype(dtype), tolerance)
