"""Sequences, maps and optionals."""

from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import pytest

import ort_rs
from models import model
from paired import assert_same

X = np.array([1, 2], np.float32)
REVERSE = model(
    "g (seq(float[n]) s) => (seq(float[n]) t) { i = Constant <value_int = 0> () f = SequenceAt(s, i) t = SequenceInsert(s, f) }"
)


def run(ort: ModuleType, body: bytes, feeds: Any) -> Any:
    return ort.InferenceSession(body).run(None, feeds)


def test_a_sequence_is_a_list() -> None:
    assert_same(lambda ort: run(ort, REVERSE, {"s": [X, X + 1]}))
    assert_same(lambda ort: [(a.name, a.type, a.shape) for a in ort.InferenceSession(REVERSE).get_inputs()])


def test_an_empty_sequence() -> None:
    body = model("g (seq(float[n]) s) => (int64 n) { n = SequenceLength(s) }")
    assert_same(lambda ort: run(ort, body, {"s": []}))


@pytest.mark.parametrize("given", [(X, X), X, 3])
def test_no_list(given: Any) -> None:
    assert_same(lambda ort: run(ort, REVERSE, {"s": given}), text=False)


def test_a_sequence_of_another_type() -> None:
    with pytest.raises(RuntimeError, match=r"tensor\(int32\) in input 's', whose elements are tensor\(float\)"):
        run(ort_rs, REVERSE, {"s": [X.astype(np.int32)]})


def encoded(proto: onnx.ModelProto) -> bytes:
    body: bytes = proto.SerializeToString()
    return body


def optional_model() -> bytes:
    tensor = oh.make_tensor_type_proto(onnx.TensorProto.FLOAT, ["n"])
    graph = oh.make_graph(
        [oh.make_node("OptionalHasElement", ["o"], ["has"]), oh.make_node("Identity", ["o"], ["p"])],
        "g",
        [onnx.ValueInfoProto(name="o", type=oh.make_optional_type_proto(tensor))],
        [
            oh.make_tensor_value_info("has", onnx.TensorProto.BOOL, []),
            onnx.ValueInfoProto(name="p", type=oh.make_optional_type_proto(tensor)),
        ],
    )
    return encoded(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 18)], ir_version=8))


@pytest.mark.parametrize("feeds", [{"o": X}, {"o": None}, {}], ids=["value", "none", "left out"])
def test_optionals(feeds: Any) -> None:
    assert_same(lambda ort: run(ort, optional_model(), feeds))


def dictionary_model(key: int) -> bytes:
    """DictVectorizer over three words or numbers."""
    vocabulary: dict[str, Any] = (
        {"int64_vocabulary": [10, 20, 30]} if key == onnx.TensorProto.INT64 else {"string_vocabulary": ["a", "b", "c"]}
    )
    value = oh.make_tensor_type_proto(onnx.TensorProto.FLOAT, [1])
    graph = oh.make_graph(
        [oh.make_node("DictVectorizer", ["d"], ["y"], domain="ai.onnx.ml", **vocabulary)],
        "g",
        [onnx.ValueInfoProto(name="d", type=oh.make_map_type_proto(key, value))],
        [oh.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3])],
    )
    return encoded(oh.make_model(graph, opset_imports=[oh.make_opsetid("ai.onnx.ml", 1)], ir_version=8))


@pytest.mark.parametrize("values", [[1.0, 2.0], [np.float32(1), np.float64(2)], [np.float32(1), 2]])
def test_maps_from_words(values: list[Any]) -> None:
    assert_same(lambda ort: run(ort, dictionary_model(onnx.TensorProto.STRING), {"d": dict(zip("ca", values, strict=True))}))


@pytest.mark.parametrize("keys", [[10, 30], [np.int64(30), np.int64(10)], [np.int32(20), np.int32(10)]])
def test_maps_from_numbers(keys: list[Any]) -> None:
    assert_same(lambda ort: run(ort, dictionary_model(onnx.TensorProto.INT64), {"d": dict(zip(keys, [1.5, -2.0], strict=True))}))


@pytest.mark.parametrize("given", [{1.5: 2.0}, {10: 1.0, "a": 2.0}, {np.float32(10): 1.0}])
def test_keys_of_no_type(given: Any) -> None:
    assert_same(lambda ort: run(ort, dictionary_model(onnx.TensorProto.INT64), {"d": given}))


@pytest.mark.parametrize("given", [{"a": 1.0}, {10: None}, {10: "x"}])
def test_keys_and_values_of_another_type(given: Any) -> None:
    assert_same(lambda ort: run(ort, dictionary_model(onnx.TensorProto.INT64), {"d": given}), text=False)


def zipmap_model() -> bytes:
    result = oh.make_sequence_type_proto(
        oh.make_map_type_proto(onnx.TensorProto.STRING, oh.make_tensor_type_proto(onnx.TensorProto.FLOAT, []))
    )
    graph = oh.make_graph(
        [oh.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"])],
        "g",
        [oh.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 2])],
        [onnx.ValueInfoProto(name="y", type=result)],
    )
    return encoded(oh.make_model(graph, opset_imports=[oh.make_opsetid("ai.onnx.ml", 1)], ir_version=8))


def test_maps_come_back_as_dictionaries() -> None:
    x = np.array([[0.25, 0.75], [1, 0]], np.float32)
    assert_same(lambda ort: run(ort, zipmap_model(), {"x": x}))
