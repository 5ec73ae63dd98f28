"""Operators of ONNX Runtime's own domains: a model of each, here and there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import ort_rs
from nodes import RNG, Case, assert_as_onnx_runtime, assert_close, floats, model_of, octets, scale, zero


def quantized() -> Iterator[Case]:
    for dtype, point in ((np.uint8, 120), (np.int8, -3)):
        a, b = octets(2, 3, 8, 8, dtype=dtype), octets(3, 1, 8, dtype=dtype)
        z = zero(point, dtype)
        operands = [a, scale(0.05), z, b, scale(0.02), z, scale(0.07), z]
        yield Case("QLinearAdd", operands, apart=1)
        yield Case("QLinearMul", operands, apart=1)
        one = [a, scale(0.05), z, scale(0.04), z]
        yield Case("QLinearSigmoid", [a, scale(0.05), z, scale(1 / 256), zero(0 if dtype == np.uint8 else -128, dtype)], apart=1)
        yield Case("QLinearLeakyRelu", one, {"alpha": 0.1}, apart=1)
        for last in (0, 1):
            pool = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "channels_last": last}
            yield Case("QLinearAveragePool", one, pool, apart=1)
            yield Case("QLinearGlobalAveragePool", one, {"channels_last": last}, apart=1)
        yield Case("QLinearConcat", [scale(0.06), z, a, scale(0.05), z, a, scale(0.03), z], {"axis": 1}, apart=1)
        yield Case("QLinearWhere", [a > 0, a, scale(0.05), z, a, scale(0.02), z, scale(0.06), z], apart=1)
        for opset in (12, 13):
            yield Case(
                "QLinearSoftmax", [octets(2, 3, 8, dtype=dtype), scale(0.05), z, scale(1 / 256), z], {"opset": opset, "axis": 1}, apart=1
            )
        yield Case("NhwcMaxPool", [octets(1, 9, 7, 4, dtype=dtype)], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]})
    w = octets(6, 5, 3, 3, dtype=np.int8)
    conv = [
        octets(1, 8, 7, 5),
        scale(0.03),
        zero(128),
        w,
        np.linspace(0.01, 0.03, 6, dtype=np.float32),
        zero(0, np.int8),
        scale(0.2),
        zero(100),
    ]
    bias = RNG.integers(-500, 500, 6).astype(np.int32)
    yield Case("QLinearConv", [*conv, bias], {"channels_last": 1, "pads": [1, 1, 1, 1], "strides": [2, 1]}, apart=1)


def products() -> Iterator[Case]:
    a, b = octets(4, 7), octets(7, 5, dtype=np.int8)
    columns = np.linspace(0.01, 0.05, 5, dtype=np.float32)
    bias = RNG.integers(-900, 900, 5).astype(np.int32)
    start = [a, scale(0.03), zero(120), b, columns, np.zeros(5, np.int8)]
    yield Case("QGemm", [*start, bias, scale(0.3), zero(90)], {"alpha": 0.5}, apart=1)
    yield Case("QGemm", [*start, bias], {"alpha": 2.0})
    transposed = [a.T.copy(), scale(0.03), zero(120), b.T.copy(), scale(0.1), zero(3, np.int8), None, scale(0.5), zero(90)]
    yield Case("QGemm", transposed, {"transA": 1, "transB": 1}, apart=1)
    for left in (octets(2, 4, 7), octets(2, 4, 7, dtype=np.int8)):
        points = [np.array(5, left.dtype), np.arange(5, dtype=np.int8)]
        inputs = [left, b, scale(0.02), columns, *points, floats(5)]
        if left.dtype == np.int8:
            inputs[1], inputs[5] = b, np.arange(5, dtype=np.int8)
        yield Case("MatMulIntegerToFloat", inputs)
        yield Case("MatMulIntegerToFloat", [left, b, scale(0.02), scale(0.03)])
    for right, shifts in ((b, np.arange(5, dtype=np.int8)), (octets(7, 5), np.arange(5, dtype=np.uint8))):
        yield Case("DynamicQuantizeMatMul", [floats(3, 4, 7), right, columns, shifts, floats(5)])
        yield Case("DynamicQuantizeMatMul", [floats(3, 4, 7), right, scale(0.1)])
    yield Case("MatMulInteger16", [octets(3, 4, dtype=np.int16), octets(4, 5, dtype=np.int16)])
    for table in (0, 1):
        codes, largest = octets(5 * 64 // 2), np.abs(floats(5 * 64 // 16)) + 0.1
        attributes = {"N": 5, "K": 64, "block_size": 16, "quant_type": table}
        yield Case("MatMulBnb4", [floats(2, 3, 64), codes, largest], attributes)


def attention() -> Iterator[Case]:
    weights = octets(16, 48, dtype=np.int8)
    for width in ((), (48,)):
        widths = np.full(width, 0.01, np.float32)
        inputs = [octets(2, 5, 16), weights, floats(48), scale(0.02), widths, None, zero(127), np.zeros(width, np.int8)]
        yield Case("QAttention", inputs, {"num_heads": 4}, apart=1e-4)
        yield Case("QAttention", inputs, {"num_heads": 2, "unidirectional": 1}, apart=1e-4)
    yield Case("QAttention", [*inputs[:5], np.array([3, 5], np.int32), *inputs[6:]], {"num_heads": 4}, apart=1e-4)
    past = floats(2, 2, 4, 3, 4)
    yield Case("QAttention", [*inputs, past], {"num_heads": 4}, outputs=2, apart=1e-4)
    tables = [octets(11, 8), octets(6, 8), octets(2, 8), octets(8), octets(8)]
    scales = [scale(0.01 * i) for i in range(1, 6)]
    points = [zero(120 + i) for i in range(5)]
    ids, segments, mask = RNG.integers(0, 11, (2, 4)), RNG.integers(0, 2, (2, 4)), np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
    numbers = [x.astype(np.int32) for x in (ids, segments, mask)]
    inputs = [numbers[0], numbers[1], *tables, numbers[2], *scales, *points]
    yield Case("QEmbedLayerNormalization", inputs, {"epsilon": 1e-5}, outputs=2, apart=1e-4)


def older() -> Iterator[Case]:
    x = floats(2, 3, 4)
    for dtype in (np.float32, np.float64):
        for metric in ("euclidean", "sqeuclidean"):
            yield Case("CDist", [floats(6, 5, dtype=dtype), floats(4, 5, dtype=dtype)], {"metric": metric}, apart=1e-4)
    yield Case("ExpandDims", [x, np.array(1, np.int32)])
    yield Case("ExpandDims", [x, np.array(-1, np.int32)])
    yield Case("GatherND", [x, np.array([[0, 1], [1, 2]])])
    yield Case("GatherND", [x, np.array([[0, 1], [1, 2]], np.int32)])
    grid = np.clip(floats(2, 4, 5, 2), -1, 1)
    yield Case("GridSample", [floats(2, 3, 6, 7), grid], {"mode": "bilinear", "padding_mode": "border", "align_corners": 1})
    for mode in ("constant", "reflect", "edge"):
        value = [np.array([1.5], np.float32)] if mode == "constant" else []
        yield Case("Pad", [x, np.array([0, 1, 1, 0, 0, 2]), *value], {"mode": mode})
    yield Case("Range", [np.array(1, np.int64), np.array(9, np.int64)])
    yield Case("Range", [np.array([1.0], np.float32), np.array([4.0], np.float32), np.array([0.5], np.float32)])
    yield Case("Trilu", [x], {"upper": 0})
    yield Case("Trilu", [x, np.array(1)], {"upper": 1})
    yield Case("Unique", [np.array([3, 1, 3, 2, 1], np.float32)], outputs=3)


def own_kernels() -> Iterator[Case]:
    for x in (
        np.array(["foo", "bar", "", "abcde", "ünï"], object),
        *(np.arange(5).astype(t) for t in ("i4", "u4", "i8", "u8", "f4", "f8")),
    ):
        for attributes in ({}, {"positive": 0, "seed": 7}):
            yield Case("MurmurHash3", [x], attributes, apart=0)
    for dtype in (np.float32, np.float64):
        yield Case("Inverse", [floats(2, 3, 4, 4, dtype=dtype)], apart=1e-3)
    yield Case("NGramRepeatBlock", [np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4]]), floats(2, 6)], {"ngram_size": 3})
    rows = np.array([[1, -1], [0, 2]])
    for bits, width in ((4, 32), (8, 16)):
        points = octets(4, 1 if bits == 4 else 2)
        for zeros in ([], [points]):
            scales = np.abs(floats(4, 2))
            inputs = [octets(4, width if bits == 8 else 16), rows, scales[:, : width // 16], *zeros]
            if bits == 8 and zeros:
                inputs[3] = points[:, :1]
            yield Case("GatherBlockQuantized", inputs, {"bits": bits, "block_size": 16, "quantize_axis": 1})


def fused() -> Iterator[Case]:
    x, gate = floats(2, 3, 8), floats(2, 3, 8)
    yield Case("GatedAdd", [x, gate, floats(2, 3, 1)])
    yield Case("ScaledSiLU", [x], {"alpha": 0.7})
    yield Case("ScaledSiLU", [x, np.array(1.3, np.float32)])
    yield Case("LinearAttentionGate", [x, floats(8), floats(8)])
    yield Case("LinearAttentionGate", [x, floats(8), floats(8), gate], outputs=2)
    for activation in ("silu", "sigmoid"):
        yield Case("GatedRMSNorm", [x, floats(4), gate], {"activation": activation, "epsilon": 1e-3})
    yield Case("BranchwiseRMSNorm", [x, floats(8)], {"num_branches": 2})
    yield Case("BranchwiseRMSNorm", [floats(2, 4, 6), floats(4, 6)], {"epsilon": 1e-3})
    yield Case("BranchwiseRMSNorm", [x], {"num_branches": 4})
    for gates in (floats(2, 3, 2), floats(2, 3, 2, 1), floats(2, 3, 2, 4)):
        yield Case("HyperConnectionPreMix", [x, gates], {"num_branches": 2, "reduction_scale": 0.5})
        yield Case("HyperConnectionPreMix", [floats(2, 3, 2, 4), gates])
        yield Case("HyperConnectionPostMix", [x, floats(2, 3, 4), gates, floats(2, 3, 2, 2)], {"num_branches": 2})
        yield Case("HyperConnectionPostMix", [floats(2, 3, 2, 4), floats(2, 3, 4), gates])
    engram = [floats(2, 3, 2, 8), floats(2, 3, 2, 8), floats(2, 3, 8), floats(2, 8), floats(2, 8), floats(2, 8)]
    yield Case("EngramGate", engram, {"epsilon": 1e-3}, outputs=2)
    positions = RNG.integers(0, 9, (3, 2, 5))
    for layout in (0, 1):
        for shape in ((2, 5, 24), (2, 2, 5, 12)):
            attributes = {"mrope_section": [3, 2, 1], "mrope_layout": layout, "interleaved": layout, "num_heads": 2}
            yield Case("MRotaryEmbedding", [floats(*shape), positions, floats(9, 6), floats(9, 6)], attributes)
    for axis in (0, 1, -1):
        yield Case("UnfoldTensor", [floats(5, 6, 7)], {"dim": axis, "size": 3, "step": 2}, apart=0)


def given_up() -> Iterator[Case]:
    image = floats(2, 3, 6, 5)
    for op, attributes in (
        ("Affine", {"alpha": 2.0, "beta": 0.5}),
        ("Crop", {"border": [1, 2, 1, 1]}),
        ("Crop", {"border": [1, 2, 0, 0], "scale": [3, 2]}),
        ("ImageScaler", {"scale": 2.0, "bias": [0.1, 0.2, 0.3]}),
        ("ParametricSoftplus", {"alpha": 2.0, "beta": 0.5}),
        ("Scale", {"scale": 3.0}),
        ("ScaledTanh", {"alpha": 2.0, "beta": 0.5}),
    ):
        yield Case(op, [image], attributes, domain="", opset=7)
    yield Case("DynamicSlice", [image, np.array([1, 0]), np.array([6, -1]), np.array([2, 3])], domain="", opset=7)


CASES = [*quantized(), *products(), *attention(), *older(), *own_kernels(), *fused(), *given_up()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_as_onnx_runtime(case: Case) -> None:
    assert_as_onnx_runtime(case)


def convolutions() -> onnx.ModelProto:
    """A network with what ONNX Runtime lays out in blocks of channels: convolutions of all kinds, pools, sums, a resize."""
    rng = np.random.default_rng(3)
    weights: dict[str, Any] = {}

    def conv(x: str, y: str, ic: int, oc: int, k: int, group: int = 1, **attributes: Any) -> list[onnx.NodeProto]:
        weights[f"{y}_w"] = (rng.standard_normal((oc, ic // group, k, k)) / (k * ic**0.5)).astype(np.float32)
        weights[f"{y}_b"] = rng.standard_normal(oc).astype(np.float32)
        return [helper.make_node("Conv", [x, f"{y}_w", f"{y}_b"], [y], group=group, pads=[k // 2] * 4, kernel_shape=[k, k], **attributes)]

    nodes = [
        *conv("x", "a", 3, 32, 3, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["ar"]),
        *conv("ar", "b", 32, 32, 3, group=32),
        helper.make_node("Clip", ["b", "low", "high"], ["br"]),
        *conv("br", "c", 32, 32, 1),
        *conv("ar", "d", 32, 32, 3),
        helper.make_node("Add", ["c", "d"], ["e"]),
        helper.make_node("Relu", ["e"], ["er"]),
        helper.make_node("MaxPool", ["er"], ["f"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        *conv("f", "g", 32, 64, 3),
        helper.make_node("Sigmoid", ["g"], ["gs"]),
        helper.make_node("Mul", ["g", "gs"], ["gm"]),
        *conv("gm", "h", 64, 64, 3, group=2),
        helper.make_node("AveragePool", ["h"], ["i"], kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node(
            "Resize", ["h", "", "double"], ["j"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
        *conv("j", "k", 64, 20, 1),
        *conv("i", "l", 64, 32, 1),
        helper.make_node("GlobalAveragePool", ["l"], ["m"]),
        helper.make_node("GlobalMaxPool", ["l"], ["n"]),
        helper.make_node("Transpose", ["k"], ["o"], perm=[0, 2, 3, 1]),
    ]
    weights |= {"low": np.float32(0), "high": np.float32(6), "double": np.array([1, 1, 2, 2], np.float32)}
    outputs = [helper.make_tensor_value_info(name, 1, None) for name in ("m", "n", "o")]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", 1, [1, 3, 32, 32])], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize("suffix", ["onnx", "ort"])
def test_blocks_of_channels(tmp_path: Path, suffix: str) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / f"optimized.{suffix}")
    options.log_severity_level = 4
    if suffix == "ort":
        options.add_session_config_entry("session.save_model_format", "ORT")
    session = onnxruntime.InferenceSession(convolutions().SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = floats(1, 3, 32, 32)
    expected = session.run(None, {"x": x})
    if suffix == "onnx":
        ops = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node if node.domain == "com.microsoft.nchwc"}
        assert ops >= {"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReorderOutput"}
    for level in ort_rs.GraphOptimizationLevel.__members__.values():
        own = ort_rs.SessionOptions()
        own.graph_optimization_level = level
        assert_close(ort_rs.InferenceSession(options.optimized_model_filepath, own).run(None, {"x": x}), expected, 1e-4)


def test_in_the_graphs_of_nodes() -> None:
    branch = """{name} = g () => (uint8[2,3] {name}_y) {{ {name}_y = com.microsoft.QLinear{op} (x, s, z, x, s, z, s, z) }}"""
    branches = ", ".join(branch.format(name=name, op=op) for name, op in (("then_branch", "Add"), ("else_branch", "Mul")))
    text = f"""
      <ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
      g (bool c, uint8[2,3] x) => (uint8[2,3] y) {{
        s = Constant <value = float {{0.5}}> ()
        z = Constant <value = uint8 {{3}}> ()
        y = If (c) <{branches}>
      }}"""
    encoded = onnx.parser.parse_model(text).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    theirs = onnxruntime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])
    ours = ort_rs.InferenceSession(encoded)
    for condition in (True, False):
        feeds = {"c": np.array(condition), "x": octets(2, 3) % 16}
        assert_close(ours.run(None, feeds), theirs.run(None, feeds), 1)


@pytest.mark.parametrize("op", ["MemcpyFromHost", "MemcpyToHost"])
def test_copies_between_memories_are_nothing_on_the_host(op: str) -> None:
    assert_as_onnx_runtime(Case(op, [floats(2, 3)], domain=""))


@pytest.mark.parametrize("keepdims", [0, 1])
def test_means_of_quantized_values(keepdims: int) -> None:
    # ONNX Runtime declares the operator, and has no kernel for it.
    codes = octets(2, 3, 4)
    inputs = [codes, scale(0.05), zero(120), scale(0.02), zero(7)]
    model, feeds = model_of(Case("QLinearReduceMean", inputs, {"axes": [0, 2], "keepdims": keepdims}))
    (y,) = ort_rs.InferenceSession(model).run(None, feeds)
    means = ((codes.astype(np.float64) - 120) * 0.05).mean(axis=(0, 2), keepdims=bool(keepdims))
    expected = np.clip(np.rint(means / 0.02) + 7, 0, 255)
    assert isinstance(y, np.ndarray)
    assert (y.dtype, y.shape) == (np.uint8, expected.shape)
    assert np.abs(y.astype(np.float64) - expected).max() <= 1
