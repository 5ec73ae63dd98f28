"""Models in the ORT format: one that either module saves, both load and run alike."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import ort_rs
from models import ADD, model
from paired import assert_equal

LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_ALL")
Case = tuple[bytes, dict[str, Any]]


def f32(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 7


def control_flow() -> Case:
    body = """
      g (float[2,3] x, int64 n) => (float[2,3] y, float[k,2,3] steps) {
        limit = Constant <value_float: float = 3.0> ()
        y, steps = Loop (n, , x) <body = b (int64 i, bool more, float[2,3] a) => (bool again, float[2,3] c, float[2,3] step) {
          again = Identity (more)
          sum = ReduceSum <keepdims: int = 0> (a)
          small = Less (sum, limit)
          c = If (small) <then_branch = t () => (float[2,3] r) { r = Add (a, limit) }, else_branch = e () => (float[2,3] r) { r = Neg (a) }>
          step = Mul (c, limit)
        }>
      }"""
    return model(body), {"x": f32(2, 3), "n": np.array(4)}


def convolution() -> Case:
    rng = np.random.default_rng(3)
    graph = onnx.parser.parse_graph("""
      g (float[n,3,8,8] x) => (float[n,4] y) {
        c = Conv <pads: ints = [1, 1, 1, 1]> (x, w, b)
        r = Relu (c)
        d = Conv (r, v)
        s = Add (d, r)
        p = GlobalAveragePool (s)
        f = Flatten (p)
        y = Softmax (f)
      }""")
    weights = {"w": (4, 3, 3, 3), "b": (4,), "v": (4, 4, 1, 1)}
    for name, shape in weights.items():
        graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape, dtype=np.float32), name))
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return whole.SerializeToString(), {"x": rng.standard_normal((2, 3, 8, 8), dtype=np.float32)}


def functions() -> Case:
    text = """
      <ir_version: 9, opset_import: ["" : 20, "local" : 1]>
      g (float[2,3] x) => (float[2,3] y) { h = local.Twice (x) y = local.Twice (h) }
      <opset_import: ["" : 20], domain: "local"> Twice (a) => (b) { b = Add (a, a) }"""
    return onnx.parser.parse_model(text).SerializeToString(), {"x": f32(2, 3)}


def quantized() -> Case:
    graph = onnx.parser.parse_graph("""
      g (float[n,8] x) => (float[n,5] y) {
        q = QuantizeLinear (x, scale, zero)
        d = DequantizeLinear (q, scale, zero)
        v = DequantizeLinear <axis: int = 1> (weight, scales)
        y = MatMul (d, v)
      }""")
    rng = np.random.default_rng(5)
    tensors = {"scale": np.float32(0.05), "zero": np.uint8(128), "scales": (f32(5) + 1) / 100}
    tensors["weight"] = rng.integers(-127, 127, (8, 5), dtype=np.int8)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(t), name) for name, t in tensors.items())
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return whole.SerializeToString(), {"x": f32(2, 8)}


def packed() -> Case:
    graph = onnx.parser.parse_graph("g (float s) => (float[5] w) { w = DequantizeLinear (packed, s) }")
    graph.initializer.append(helper.make_tensor("packed", TensorProto.INT4, [5], [1, -8, 7, 0, 3]))
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return whole.SerializeToString(), {"s": np.array(0.5, np.float32)}


def strings_and_sequences() -> Case:
    graph = onnx.parser.parse_graph("""
      g (string[n] s, float[2] x) => (string[n] joined, seq(float[2]) list) {
        joined = StringConcat (s, suffix)
        list = SequenceConstruct (x, x)
      }""")
    graph.initializer.append(numpy_helper.from_array(np.array(["\N{SNOWMAN}!"], object), "suffix"))
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return whole.SerializeToString(), {"s": np.array(["a", "b\u00e9"]), "x": f32(2)}


def sparse() -> Case:
    graph = onnx.parser.parse_graph("g (float[n,2] x) => (float[n,3] y) { y = MatMul (x, w) }")
    values, indices = helper.make_tensor("w", TensorProto.FLOAT, [2], [5, 7]), helper.make_tensor("", TensorProto.INT64, [2], [1, 4])
    graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 3]))
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return whole.SerializeToString(), {"x": f32(4, 2)}


CASES = (control_flow, convolution, functions, quantized, packed, strings_and_sequences, sparse)


def combinations() -> Iterator[Any]:
    """Cases with a writer, a reader and a level."""
    for case, (writer, reader), level in product(CASES, [(onnxruntime, ort_rs), (ort_rs, onnxruntime), (ort_rs, ort_rs)], LEVELS):
        # ONNX Runtime cannot read what it writes of packed types, and fuses the product into an operator that is not here.
        beyond = (case is packed and reader is onnxruntime) or (case is quantized and writer is onnxruntime and level == "ORT_ENABLE_ALL")
        if not beyond:
            yield pytest.param(case, writer, reader, level, id=f"{case.__name__}-{writer.__name__}-{reader.__name__}-{level}")


def save(runtime: ModuleType, source: Any, path: Path, level: str = "ORT_ENABLE_ALL", **entries: str) -> None:
    options = runtime.SessionOptions()
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(path)
    # Blocks of channels are as wide as the machine's registers: a file with them would not travel.
    leave_out = {"disabled_optimizers": ["NchwcTransformer"]} if runtime is onnxruntime else {}
    for key, value in entries.items():
        options.add_session_config_entry(f"session.{key}", value)
    runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"], **leave_out)


def run(runtime: ModuleType, source: Any, feeds: dict[str, Any]) -> Any:
    return runtime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, feeds)


def assert_close(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, np.ndarray) and b.dtype.kind == "f":
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        else:
            assert_equal(a, b)


@pytest.mark.parametrize(("case", "writer", "reader", "level"), list(combinations()))
def test_a_saved_model_runs_in_both(case: Callable[[], Case], writer: ModuleType, reader: ModuleType, level: str, tmp_path: Path) -> None:
    source, feeds = case()
    path = tmp_path / "saved.ort"
    save(writer, source, path, level, save_model_format="ORT")
    assert path.read_bytes()[4:8] == b"ORTM"
    expected = run(onnxruntime, source, feeds)
    assert_close(run(reader, str(path), feeds), expected)
    assert_close(run(reader, path.read_bytes(), feeds), expected)


def test_external_data_comes_along(tmp_path: Path) -> None:
    source, feeds = convolution()
    model = onnx.load_model_from_string(source)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    path = tmp_path / "saved.ort"
    save(ort_rs, str(tmp_path / "m.onnx"), path)
    (tmp_path / "m.data").unlink()
    expected = run(onnxruntime, source, feeds)
    for runtime in (ort_rs, onnxruntime):
        assert_close(run(runtime, str(path), feeds), expected)


def test_metadata_is_kept(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(ADD)
    model.producer_name, model.domain, model.doc_string, model.model_version = "maker", "org.test", "doc", 5
    model.graph.doc_string = "of the graph"
    helper.set_model_props(model, {"key": "value"})
    path = tmp_path / "saved.ort"
    save(ort_rs, model.SerializeToString(), path)
    for runtime in (ort_rs, onnxruntime):
        meta = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_modelmeta()
        assert (meta.producer_name, meta.domain, meta.description, meta.version) == ("maker", "org.test", "doc", 5)
        assert meta.graph_description == "of the graph"
        assert meta.custom_metadata_map == {"key": "value"}


def test_the_format_can_be_said(tmp_path: Path) -> None:
    for runtime in (ort_rs, onnxruntime):
        path = tmp_path / "model"
        save(runtime, ADD, path)
        onnx.load(path)
        save(runtime, ADD, tmp_path / "model.ort")
        assert (tmp_path / "model.ort").read_bytes()[4:8] == b"ORTM"
        options = runtime.SessionOptions()
        options.add_session_config_entry("session.load_model_format", "ORT")
        with pytest.raises(Exception, match="verification") as error:
            runtime.InferenceSession(ADD, options, providers=["CPUExecutionProvider"])
        assert type(error.value).__name__ == "Fail"


def test_weights_may_stay_in_the_bytes(tmp_path: Path) -> None:
    source, feeds = convolution()
    save(ort_rs, source, tmp_path / "saved.ort")
    options = ort_rs.SessionOptions()
    options.add_session_config_entry("session.use_ort_model_bytes_directly", "1")
    session = ort_rs.InferenceSession((tmp_path / "saved.ort").read_bytes(), options)
    assert_close(session.run(None, feeds), run(onnxruntime, source, feeds))
