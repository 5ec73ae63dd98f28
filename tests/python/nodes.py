"""Models of one node, run here and there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.helper import np_dtype_to_tensor_dtype as number_of

import ort_rs

RNG = np.random.default_rng(5)


class Case(NamedTuple):
    """A node: its operator, inputs (`None` for one left out), attributes, and how many outputs it has."""

    op: str
    inputs: list[Any]
    attributes: Mapping[str, Any] = MappingProxyType({})
    outputs: int = 1
    domain: str = "com.microsoft"
    # The opset of `ai.onnx`.
    opset: int = 17
    # How far results may differ: rounding of sums in another order, a step of quantization.
    apart: float = 1e-5
    # Whether ONNX Runtime is given all inputs but one as constants; in some operators it then rounds what it multiplies to bytes.
    constants: bool = True
    # Of each output, what is compared; the rest is memory that nobody wrote, or as good as that.
    seen: Mapping[int, Any] = MappingProxyType({})
    # Types of outputs that ONNX Runtime cannot infer.
    types: Mapping[int, Any] = MappingProxyType({})


def floats(*shape: int, dtype: Any = np.float32) -> Any:
    return RNG.standard_normal(shape).astype(dtype)


def octets(*shape: int, dtype: Any = np.uint8) -> Any:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max + 1, shape).astype(dtype)


def scale(value: float) -> Any:
    return np.array(value, np.float32)


def zero(value: int, dtype: Any = np.uint8) -> Any:
    return np.array(value, dtype)


def model_of(case: Case) -> tuple[bytes, dict[str, Any]]:
    """The case as a model, and what is fed to it. Shapes are known, as those of weights are."""
    names = ["" if value is None else f"i{i}" for i, value in enumerate(case.inputs)]
    feeds = {name: np.asarray(value) for name, value in zip(names, case.inputs, strict=True) if name}
    outputs = [f"o{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, domain=case.domain, **case.attributes)
    ports = [helper.make_tensor_value_info(name, number_of(value.dtype), value.shape) for name, value in feeds.items()]
    results = [onnx.ValueInfoProto(name=name) for name in outputs]
    for i, dtype in case.types.items():
        results[i] = helper.make_tensor_value_info(outputs[i], number_of(np.dtype(dtype)), None)
    graph = helper.make_graph([node], "g", ports, results)
    imports = [helper.make_opsetid("", case.opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString(), feeds


def with_constants(model: bytes, feeds: dict[str, Any], kept: str) -> bytes:
    """The model with everything but the input `kept` as initializers, as quantizers write it."""
    proto = onnx.ModelProto.FromString(model)
    ports = [port for port in proto.graph.input if port.name == kept]
    del proto.graph.input[:]
    proto.graph.input.extend(ports)
    proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in feeds.items() if name != kept)
    encoded: bytes = proto.SerializeToString()
    return encoded


def assert_close(ours: Any, theirs: Any, apart: float) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        wide_a, wide_b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if np.issubdtype(b.dtype, np.integer):
            assert np.abs(wide_a - wide_b).max(initial=0) <= apart
        else:
            largest = np.abs(wide_b[np.isfinite(wide_b)]).max(initial=1)
            np.testing.assert_allclose(wide_a, wide_b, rtol=apart, atol=apart * largest)


def assert_as_onnx_runtime(case: Case) -> None:
    """Check that the case gives what it gives in ONNX Runtime: with all but one input constant, and with none."""

    def seen(outputs: Any) -> list[Any]:
        return [x[case.seen[i]] if i in case.seen else x for i, x in enumerate(outputs)]

    model, feeds = model_of(case)
    first = next(iter(feeds))
    constant = with_constants(model, feeds, first)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    given, fed = (constant, {first: feeds[first]}) if case.constants else (model, feeds)
    theirs = seen(onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"]).run(None, fed))
    for level in (ort_rs.GraphOptimizationLevel.ORT_DISABLE_ALL, ort_rs.GraphOptimizationLevel.ORT_ENABLE_ALL):
        own = ort_rs.SessionOptions()
        own.graph_optimization_level = level
        assert_close(seen(ort_rs.InferenceSession(constant, own).run(None, {first: feeds[first]})), theirs, case.apart)
    # Nothing is known before the run.
    assert_close(seen(ort_rs.InferenceSession(model).run(None, feeds)), theirs, case.apart)
