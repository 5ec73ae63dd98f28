"""Nodes of old opsets are saved as nodes of a newer one, where another node needs that, and mean the same."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import ort_rs

#: The opset of the node that no older opset has.
NEW = 20

DRAW = np.random.default_rng(0)


class Case:
    """A node of an old opset, and its inputs: the first is fed, the others are constants."""

    def __init__(self, opset: int, op: str, *inputs: npt.NDArray[Any], outputs: int = 1, **attributes: Any) -> None:
        self.opset, self.op, self.inputs, self.outputs, self.attributes = opset, op, inputs, outputs, attributes

    def model(self) -> onnx.ModelProto:
        """The node, beside a call of a function whose node is of opset `NEW`."""
        names = [f"x{i}" for i in range(len(self.inputs))]
        outputs = [f"y{i}" for i in range(self.outputs)]
        nodes = [
            helper.make_node(self.op, names, outputs, **self.attributes),
            helper.make_node("Twice", ["text"], ["twice"], domain="new"),
        ]
        body = [helper.make_node("StringConcat", ["a", "a"], ["b"])]
        twice = helper.make_function("new", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", NEW)])
        feeds = [
            helper.make_tensor_value_info("x0", helper.np_dtype_to_tensor_dtype(self.inputs[0].dtype), self.inputs[0].shape),
            helper.make_tensor_value_info("text", TensorProto.STRING, [1]),
        ]
        results = [helper.ValueInfoProto(name=name) for name in [*outputs, "twice"]]
        constants = [numpy_helper.from_array(array, name) for name, array in zip(names[1:], self.inputs[1:], strict=True)]
        graph = helper.make_graph(nodes, "g", feeds, results, constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("new", 1)]
        return helper.make_model(graph, functions=[twice], opset_imports=opsets, ir_version=10)

    def feed(self) -> dict[str, npt.NDArray[Any]]:
        return {"x0": self.inputs[0], "text": np.array(["a"])}


def noise(*shape: int, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    return DRAW.standard_normal(shape).astype(dtype)


def floats(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


IMAGE = noise(1, 1, 3, 4)
SCALES = [1.0, 1.0, 2.0, 1.5]

CASES = {
    # Attributes become inputs.
    "squeeze": Case(11, "Squeeze", noise(1, 6), axes=[0]),
    "squeeze all": Case(11, "Squeeze", noise(1, 6)),
    "unsqueeze": Case(11, "Unsqueeze", noise(2, 3), axes=[0, 3]),
    **{f"{op} of an axis": Case(11, op, noise(2, 3), axes=[1], keepdims=0) for op in ("ReduceSum", "ReduceMax", "ReduceMean", "ReduceL2")},
    **{f"{op} of all": Case(11, op, noise(2, 3)) for op in ("ReduceSum", "ReduceMin", "ReduceLogSumExp")},
    "slice": Case(9, "Slice", noise(4, 5), axes=[1], starts=[1], ends=[-1]),
    "top k": Case(9, "TopK", noise(4, 5), outputs=2, k=2),
    "reshape": Case(4, "Reshape", noise(4, 6), shape=[2, -1]),
    "dft": Case(17, "DFT", noise(1, 4, 3, 1)),
    "dft of axis 2": Case(17, "DFT", noise(1, 4, 3, 1), axis=2),
    "dropout": Case(10, "Dropout", noise(4, 5), outputs=2, ratio=0.25),
    # Numbers take the type of the data.
    **{f"clip {t.__name__}": Case(9, "Clip", noise(4, 5, dtype=t), min=-0.5, max=0.75) for t in (np.float16, np.float32, np.float64)},
    **{f"pad {t.__name__}": Case(9, "Pad", noise(2, 3, dtype=t), pads=[0, 1, 2, 0], value=1.5) for t in (np.float32, np.float64)},
    "clip at one side": Case(6, "Clip", noise(4, 5), min=-0.5),
    "pad by its old name": Case(1, "Pad", noise(2, 3), paddings=[0, 1, 2, 0]),
    # Parts are counted.
    "split": Case(11, "Split", noise(3, 4), outputs=2, split=[1, 2]),
    "equal parts": Case(11, "Split", noise(3, 4), outputs=2, axis=1),
    # Old defaults and rules are written out.
    "softmax": Case(11, "Softmax", noise(3, 4)),
    "softmax of the last axis": Case(11, "Softmax", noise(2, 3, 4), axis=2),
    "concat": Case(3, "Concat", noise(3, 4)),
    "roi align": Case(11, "RoiAlign", noise(1, 1, 4, 4), floats(0, 0, 3, 3).reshape(1, 4), np.array([0]), output_height=2, output_width=2),
    "bilinear": Case(16, "GridSample", noise(1, 1, 4, 4), noise(1, 1, 2, 2), mode="bilinear"),
    "bicubic": Case(16, "GridSample", noise(1, 1, 4, 4), noise(1, 1, 2, 2), mode="bicubic"),
    # Images grow as before.
    **{f"upsample {mode}": Case(9, "Upsample", IMAGE, floats(*SCALES), mode=mode) for mode in ("nearest", "linear")},
    **{f"resize {mode}": Case(10, "Resize", IMAGE, floats(*SCALES), mode=mode) for mode in ("nearest", "linear")},
    "upsample by an attribute": Case(7, "Upsample", IMAGE, scales=SCALES),
    # What went away is dropped.
    "batch normalization": Case(
        7, "BatchNormalization", noise(1, 2, 3), floats(1, 2), floats(0.5, 1), floats(0.1, 0.2), floats(1, 2), spatial=1
    ),
    "gemm": Case(6, "Gemm", noise(2, 2), noise(2, 2), floats(1, 2), broadcast=1),
    "relu": Case(1, "Relu", noise(4), consumed_inputs=[0]),
    # What the newer operator cannot say is written out.
    "softmax of several axes": Case(11, "Softmax", noise(3, 4), axis=0),
    "logarithms of several axes": Case(1, "LogSoftmax", noise(2, 3, 4), axis=1),
    "dropout of a test": Case(6, "Dropout", noise(4), is_test=1),
    "scatter": Case(10, "Scatter", noise(2, 4), np.array([[0, 1, 1, 0]]), floats(9, 8, 7, 6).reshape(1, 4)),
}

REFUSED = {
    "resize that shrinks": Case(10, "Resize", noise(1, 1, 4, 4), floats(1, 1, 0.5, 0.5)),
    "channels of slopes": Case(6, "PRelu", noise(1, 3, 3), floats(1, 2, 3)),
}


def save(case: Case, saved: Path) -> ort_rs.InferenceSession:
    options = ort_rs.SessionOptions()
    options.graph_optimization_level = ort_rs.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(saved)
    return ort_rs.InferenceSession(case.model().SerializeToString(), options)


@pytest.mark.parametrize("name", CASES)
def test_means_the_same(name: str, tmp_path: Path) -> None:
    case, saved = CASES[name], tmp_path / "saved.onnx"
    expected = save(case, saved).run(None, case.feed())
    onnx.checker.check_model(saved, full_check=True)
    assert {opset.domain: opset.version for opset in onnx.load(saved).opset_import} == {"": NEW}
    theirs: Any = onnxruntime
    for runtime in (ort_rs, theirs):
        got = runtime.InferenceSession(saved, providers=["CPUExecutionProvider"]).run(None, case.feed())
        for one, other in zip(got, expected, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            if one.dtype == object:
                assert list(one) == list(other)
            else:
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_mean_something_else_is_refused(name: str, tmp_path: Path) -> None:
    case, saved = REFUSED[name], tmp_path / "saved.onnx"
    with pytest.raises(Exception, match="cannot be written as a node of opset"):
        save(case, saved)
    assert not saved.exists()
