"""Making sessions, and what they say of their models."""

import copy
import gc
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

import ort_rs
from models import ADD, identity, model
from ort_rs.capi import onnxruntime_pybind11_state as state
from paired import assert_same

X = np.ones((2, 3), np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "add.onnx"
    file.write_bytes(ADD)
    return file


def names(ort: ModuleType, *arguments: Any, **keywords: Any) -> list[str]:
    return [a.name for a in ort.InferenceSession(*arguments, **keywords).get_inputs()]


def test_sources(path: Path) -> None:
    assert_same(lambda ort: names(ort, ADD))
    assert_same(lambda ort: names(ort, str(path)))
    assert_same(lambda ort: names(ort, path))


@pytest.mark.parametrize("source", [bytearray(ADD), memoryview(ADD), 3, None], ids=["bytearray", "memoryview", "int", "None"])
def test_no_source(source: Any) -> None:
    assert_same(lambda ort: names(ort, source))


def test_no_file(tmp_path: Path) -> None:
    assert_same(lambda ort: names(ort, str(tmp_path / "nothing.onnx")))


def test_no_model() -> None:
    assert_same(lambda ort: names(ort, b""))
    assert_same(lambda ort: names(ort, b"abc"), text=False)
    assert_same(lambda ort: names(ort, ADD[:50]), text=False)


BROKEN = {
    "an operator that nobody knows": "g (float[2] x) => (float[2] z) { z = Nobody(x) }",
    "a name that nothing gives": "g (float[2] x) => (float[2] z) { z = Neg(q) }",
    "a type that the operator forbids": "g (bool[2] x) => (bool[2] z) { z = Neg(x) }",
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_models(case: str) -> None:
    assert_same(lambda ort: names(ort, model(BROKEN[case])), text=False)


def test_arguments() -> None:
    assert_same(lambda ort: names(ort, ADD, None))
    assert_same(lambda ort: names(ort, ADD, ort.SessionOptions(), ["CPUExecutionProvider"]))
    assert_same(lambda ort: names(ort, ADD, sess_options=None, providers=None, enable_fallback=False, read_config_from_model=1))
    assert_same(lambda ort: names(ort, ADD, disabled_optimizers=["ConstantFolding"]))
    assert_same(lambda ort: names(ort, path_or_bytes=ADD))
    assert_same(lambda ort: names(ort, ADD, 3), text=False)
    assert_same(lambda ort: names(ort), text=False)


def test_subclasses() -> None:
    class Named(ort_rs.InferenceSession):
        def __init__(self, name: str, body: bytes) -> None:
            super().__init__(body)
            self.name = name

    session = Named("sum", ADD)
    assert session.name == "sum"
    np.testing.assert_array_equal(session.run(None, {"x": X, "y": X})[0], X + X)


def test_a_session_without_model() -> None:
    empty = ort_rs.InferenceSession.__new__(ort_rs.InferenceSession)
    with pytest.raises(state.NoModel):
        empty.get_inputs()
    session = ort_rs.InferenceSession(ADD)
    with pytest.raises(state.ModelLoaded):
        session.__init__(ADD)  # type: ignore[misc]


def test_sessions_are_let_go() -> None:
    session = ort_rs.InferenceSession(ADD)
    session.own = session  # type: ignore[attr-defined]  # A ring that only the collector finds.
    alive = weakref.ref(session)
    del session
    gc.collect()
    assert alive() is None


PORTS = {
    "dims": "g (float[2,N,?] x) => (float[2,N,?] y) { y = Identity(x) }",
    "unknown rank": "g (int64[] x) => (int64[] y) { y = Identity(x) }",
    "no shape": "g (int64 x) => (int64 y) { y = Identity(x) }",
    "sequence": "g (seq(float[2]) x) => (seq(float[2]) y) { y = Identity(x) }",
    "order": "g (float[1] b, double[2] a, string[3] c) => (string[3] z, float[1] y) { y = Neg(b) z = Identity(c) }",
    "inferred": "g (float[3,2] x, float[2,1] w) => (float y) { y = MatMul(x, w) }",
    "default": "g (float[2] x, float[2] w = {1, 2}) => (float[2] y) { y = Add(x, w) }",
}


@pytest.mark.parametrize("case", PORTS)
def test_ports(case: str) -> None:
    def describe(ort: ModuleType) -> list[Any]:
        session = ort.InferenceSession(model(PORTS[case]))
        ports = [session.get_inputs(), session.get_outputs(), session.get_overridable_initializers()]
        return [[(a.name, a.type, a.shape, str(a)) for a in some] for some in ports]

    assert_same(describe)


def test_defaults_are_inputs_in_old_models() -> None:
    body = model(PORTS["default"], opset=8, ir=3)
    assert_same(lambda ort: names(ort, body))


METADATA = ("custom_metadata_map", "description", "domain", "graph_description", "graph_name", "producer_name", "version")


@pytest.mark.parametrize("full", [False, True])
def test_metadata(full: bool) -> None:
    proto = onnx.ModelProto.FromString(identity("float[1]"))
    if full:
        proto.producer_name, proto.domain, proto.doc_string, proto.model_version = "maker", "org.example", "what it does", 7
        proto.graph.doc_string = "how"
        onnx.helper.set_model_props(proto, {"key": "value", "other": ""})

    def describe(ort: ModuleType) -> dict[str, Any]:
        meta = ort.InferenceSession(proto.SerializeToString()).get_modelmeta()
        return {name: getattr(meta, name) for name in METADATA}

    assert_same(describe)


PROVIDERS: dict[str, Any] = {
    "none": {},
    "empty": {"providers": []},
    "cpu": {"providers": ["CPUExecutionProvider"]},
    "options in a tuple": {"providers": [("CPUExecutionProvider", {"a": 1})]},
    "options beside": {"providers": ["CPUExecutionProvider"], "provider_options": [{"a": 1}]},
}


@pytest.mark.parametrize("case", PROVIDERS)
def test_providers(case: str) -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD, **PROVIDERS[case]).get_providers())
    assert_same(lambda ort: ort.InferenceSession(ADD, **PROVIDERS[case]).get_provider_options())


@pytest.mark.parametrize("name", ["CUDAExecutionProvider", "NobodysExecutionProvider"])
def test_unknown_providers_warn(name: str) -> None:
    with pytest.warns(UserWarning, match=f"Specified provider '{name}' is not in available provider names"):
        session = ort_rs.InferenceSession(ADD, providers=[name])
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_normalized_providers() -> None:
    from onnxruntime.capi.onnxruntime_inference_collection import check_and_normalize_provider_args as theirs

    from ort_rs.capi.onnxruntime_inference_collection import check_and_normalize_provider_args as ours

    known = ["A", "B"]
    good: list[Any] = [(None, None), ([], None), (["A", "B"], None), ([("A", {1: 2}), "B"], None), (["B", "A"], [{}, {"k": True}])]
    for providers, options in good:
        names, dicts = ours(copy.copy(providers), options, known)
        assert (list(names), list(dicts)) == tuple(map(list, theirs(providers, options, known)))
    bad: list[Any] = [(3, None), ([3], None), (["A"], 3), (["A"], [3]), (["A"], [{}, {}]), ([("A", {})], [{}]), ([("A", 3)], None)]
    for providers, options in bad:
        for function in (ours, theirs):
            with pytest.raises(ValueError):  # noqa: PT011
                function(providers, options, known)
    with pytest.warns(UserWarning, match="Duplicate provider 'A' encountered, ignoring."):
        assert ours([("A", {"k": "1"}), ("A", {"k": "2"})], None, known) == (["A"], [{"k": "1"}])
