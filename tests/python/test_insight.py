"""What a session tells of itself: explanations, memory, numbers that go bad, time by operator."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import ort_rs
from models import model
from ort_rs.capi.onnxruntime_pybind11_state import InvalidArgument

FUSED = model(
    """g (float[n,64] x, float[64,32] w, float[32] b) => (float[n,32] y, float[m] z) {
        a = MatMul(x, w)
        c = Add(a, b)
        y = Relu(c)
        s = Constant <value_ints = [-1]> ()
        z = Reshape(y, s)
    }"""
)


def fused() -> bytes:
    """A model whose MatMul, Add and Relu become one node."""
    proto = onnx.load_from_string(FUSED)
    draw = np.random.default_rng(0)
    for name, shape in (("w", (64, 32)), ("b", (32,))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(draw.standard_normal(shape, np.float32), name))
        proto.graph.input.remove(next(i for i in proto.graph.input if i.name == name))
    for node in proto.graph.node:
        node.name = f"my_{node.op_type}"
    encoded: bytes = proto.SerializeToString()
    return encoded


def test_an_explanation_names_what_was_fused() -> None:
    explanation = ort_rs.InferenceSession(fused()).explain()
    first, last = explanation.nodes[0], explanation.nodes[-1]
    assert [op for op, _ in first.origins] == ["MatMul", "Add", "Relu"]
    assert ("MatMul", "my_MatMul") in first.origins
    assert first.provider == "CPUExecutionProvider"
    assert "::" in first.kernel
    assert first.outputs == ["y: tensor(float)[n,32]"]
    assert last.op.startswith("Reshape")
    assert last.refused == []
    assert explanation.passes["matmul_add"] == 1
    text = str(explanation)
    assert "my_MatMul" in text
    assert "matmul_add 1" in text
    assert "CPUExecutionProvider 2" in text


def test_an_explanation_tells_of_views() -> None:
    views = model("g (float[4,6] x) => (float[24] y) { a = Neg(x) s = Constant <value_ints = [24]> () b = Reshape(a, s) y = Abs(b) }")
    nodes = ort_rs.InferenceSession(views).explain().nodes
    reshape = next(n for n in nodes if n.op.startswith("Reshape"))
    assert reshape.shortcut == "a view of input 0"
    assert reshape.kernel == ""


def test_an_explanation_tells_of_layouts() -> None:
    nodes = ort_rs.InferenceSession(Path(__file__).parents[2] / "examples/digits/digits.onnx").explain().nodes
    assert next(n for n in nodes if n.name == "conv1").layout.startswith("channels in blocks of")
    assert next(n for n in nodes if n.name == "softmax").shortcut == "over input 0"


def test_memory_is_told_before_a_run() -> None:
    session = ort_rs.InferenceSession(fused())
    one, many = session.memory(n=1), session.memory({"x": (1000, 64)})
    assert many.outputs == 2 * 1000 * 32 * 4
    assert many.outputs == 1000 * one.outputs
    assert many.run >= many.outputs
    assert many.peak == many.run + many.weights + many.packed
    assert many.weights >= 64 * 32 * 4
    assert many.unknown == []
    assert "all, at most" in str(many)


@pytest.mark.parametrize(
    ("shapes", "sizes", "text"),
    [
        (None, {}, "size of dimension 'n' of input 'x'"),
        (None, {"k": 3}, "no input has a dimension 'k'"),
        ({"q": (1,)}, {"n": 1}, "Invalid input name: q"),
        ({"x": (3,)}, {}, "Invalid rank for input: x"),
        ({"x": (3, 65)}, {}, "is needed"),
    ],
)
def test_memory_of_what_cannot_be(shapes: dict[str, tuple[int, ...]] | None, sizes: dict[str, int], text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        ort_rs.InferenceSession(fused()).memory(shapes, **sizes)


def test_memory_that_depends_on_data_is_named() -> None:
    session = ort_rs.InferenceSession(model("g (float[n] x) => (int64[1,k] y) { y = NonZero(x) }"))
    assert [name.split("-")[0] for name in session.memory(n=8).unknown] == ["NonZero"]


MEASURE = """
import sys
import numpy as np
import ort_rs

def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

options = ort_rs.SessionOptions()
options.intra_op_num_threads = 1
session = ort_rs.InferenceSession(sys.argv[1], options)
x = np.ones((1, 64), np.float32)
session.run(None, {"x": x})
rows = 200_000
x = np.ones((rows, 64), np.float32)
told = session.memory({"x": x.shape})
before = peak()
outputs = session.run(None, {"x": x})
print((peak() - before) / told.run)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system for the peak in its own way")
def test_memory_is_what_a_run_takes(tmp_path: Path) -> None:
    path = tmp_path / "fused.onnx"
    path.write_bytes(fused())
    ran = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    assert 0.9 < float(ran.stdout) < 1.1


BAD = model(
    """g (float[4] x, float[4] y) => (float[4] z) {
        [first] a = Sub(x, y)
        [second] b = Log(a)
        [third] c = Neg(b)
        [fourth] z = Add(c, b)
    }"""
)


@pytest.mark.parametrize("level", [ort_rs.GraphOptimizationLevel.ORT_DISABLE_ALL, ort_rs.GraphOptimizationLevel.ORT_ENABLE_ALL])
def test_the_first_bad_node_is_found(level: ort_rs.GraphOptimizationLevel) -> None:
    options = ort_rs.SessionOptions()
    options.graph_optimization_level = level
    session = ort_rs.InferenceSession(BAD, options)
    x, y = np.array([1, 2, 3, 1], np.float32), np.array([0, 2, 4, 0], np.float32)
    bad = session.find_nan({"x": x, "y": y})
    assert bad is not None
    assert (bad.name, bad.op.split("-")[0], bad.output) == ("second", "Log", "b")
    assert (bad.statistics.nan, bad.statistics.infinite, bad.statistics.elements) == (1, 1, 4)
    assert (bad.inputs["a"].min, bad.inputs["a"].max) == (-1, 1)
    assert "second" in str(bad)
    assert session.find_nan({"x": x, "y": y - 5}) is None


def test_what_is_fed_bad_is_no_node_s_fault() -> None:
    session = ort_rs.InferenceSession(BAD)
    x = np.array([np.nan, 2, 3, 1], np.float32)
    assert session.find_nan({"x": x, "y": x * 0 - 1}) is None
    bad = session.find_nan({"x": np.array([1, 2, 3, 0], np.float32), "y": np.zeros(4, np.float32)})
    assert bad is not None
    assert bad.statistics.infinite == 1


def test_time_by_operator() -> None:
    session = ort_rs.InferenceSession(fused())
    spending = session.profile({"x": np.ones((8, 64), np.float32)}, runs=4)
    assert spending.runs == 4
    assert all(spent.calls == 4 and spent.seconds > 0 for spent in spending.operators)
    assert sum(spent.share for spent in spending.operators) == pytest.approx(1)
    assert max(spending.operators, key=lambda s: s.seconds) is spending.operators[0]
    assert spending.operators[0].mean == pytest.approx(spending.operators[0].seconds / 4)
    gemm = next(s for s in spending.operators if "Gemm" in s.op)
    assert gemm.bytes == 4 * 4 * (8 * 64 + 64 * 32 + 32 + 8 * 32)
    assert "Gemm" in str(spending)


def test_time_of_random_values() -> None:
    assert ort_rs.InferenceSession(fused()).profile(runs=1).operators
