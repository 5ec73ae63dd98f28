"""Sessions, options and values that are pickled and copied."""

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ort_rs
from models import ADD, model
from paired import assert_equal

X = np.arange(6, dtype=np.float32).reshape(2, 3)
FEEDS = {"x": X, "y": X}


def again(thing: Any, protocol: int | None = None) -> Any:
    return pickle.loads(pickle.dumps(thing, protocol))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "add.onnx"
    path.write_bytes(ADD)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sessions_of_bytes(protocol: int) -> None:
    session = again(ort_rs.InferenceSession(ADD), protocol)
    assert type(session) is ort_rs.InferenceSession
    np.testing.assert_array_equal(session.run(None, FEEDS)[0], X + X)


def test_sessions_of_files_hold_the_path_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    pickled = pickle.dumps(ort_rs.InferenceSession(path.name))
    assert ADD not in pickled
    assert os.fsencode(path) in pickled
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(pickled).run(None, FEEDS)[0], X + X)


def test_options_and_providers_go_along(path: Path) -> None:
    options = ort_rs.SessionOptions()
    options.intra_op_num_threads = 2
    options.logid = "mine"
    options.graph_optimization_level = ort_rs.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.some", "thing")
    session = again(ort_rs.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
    assert session.get_providers() == ["CPUExecutionProvider"]
    got = session.get_session_options()
    assert (got.intra_op_num_threads, got.logid) == (2, "mine")
    assert got.graph_optimization_level == ort_rs.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert got.get_session_config_entry("session.some") == "thing"


def delegate(devices: Any, *_: Any) -> Any:
    return devices


def test_every_option() -> None:
    options = ort_rs.SessionOptions()
    plain = [name for name in dir(options) if not name.startswith("_") and not callable(getattr(options, name))]
    for name in plain:
        value = getattr(options, name)
        new: Any = not value if isinstance(value, bool) else type(value)(1) if isinstance(value, int) else "text"
        setattr(options, name, new)
        assert getattr(options, name) != value, name
    options.set_provider_selection_policy_delegate(delegate)
    got = again(options)
    assert {name: getattr(got, name) for name in plain} == {name: getattr(options, name) for name in plain}
    assert pickle.dumps(got) == pickle.dumps(options)


def test_initializers_go_along() -> None:
    body = model("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }")
    options = ort_rs.SessionOptions()
    options.add_initializer("w", ort_rs.OrtValue.ortvalue_from_numpy(np.array([10, 20], np.float32)))
    options.add_free_dimension_override_by_name("n", 3)
    session = again(ort_rs.InferenceSession(body, options))
    np.testing.assert_array_equal(session.run(None, {"x": np.ones(2, np.float32)})[0], [11, 21])


class Mine(ort_rs.InferenceSession):
    """A session with an attribute."""

    def __init__(self, label: str) -> None:
        super().__init__(ADD)
        self.label = label


def test_subclasses_and_attributes() -> None:
    session = again(Mine("one"))
    assert type(session) is Mine
    assert session.label == "one"
    np.testing.assert_array_equal(session.run(None, FEEDS)[0], X + X)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_copies_share_the_model(how: Any) -> None:
    session = Mine("one")
    session.__dict__["extra"] = ["a"]
    twin = how(session)
    assert type(twin) is Mine
    assert twin.__dict__["extra"] == ["a"]
    assert (twin.__dict__["extra"] is session.__dict__["extra"]) == (how is copy.copy)
    twin.label = "two"
    assert session.label == "one"
    np.testing.assert_array_equal(twin.run(None, FEEDS)[0], X + X)


def test_a_model_that_is_gone(path: Path) -> None:
    pickled = pickle.dumps(ort_rs.InferenceSession(path))
    path.unlink()
    with pytest.raises(ort_rs.capi.onnxruntime_pybind11_state.NoSuchFile):
        pickle.loads(pickled)


@pytest.mark.parametrize(
    "array",
    [
        X,
        X.astype(np.float16)[:, ::2],
        np.zeros((0, 3), np.int8),
        np.array(7, np.int64),
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.array([1.5, -2], ml_dtypes.bfloat16),
        np.array([1, -2, 7], ml_dtypes.int4),
    ],
    ids=lambda a: str(a.dtype),
)
def test_values(array: Any) -> None:
    value = ort_rs.OrtValue.ortvalue_from_numpy(array)
    for protocol in (2, 5):
        got = again(value, protocol)
        assert got.data_type() == value.data_type()
        assert_equal(got.numpy(), value.numpy())


def test_values_of_text() -> None:
    session = ort_rs.InferenceSession(model("g (string[n] x) => (string[n] y) { y = Identity(x) }"))
    words = np.array(["a", "ü", ""], dtype=object)
    value = ort_rs.OrtValue._of_array(words)
    assert again(value).numpy().tolist() == words.tolist()
    (same,) = session.run_with_ort_values(None, {"x": again(value)})
    assert same.numpy().tolist() == words.tolist()


def test_buffers_of_values_go_out_of_band() -> None:
    value = ort_rs.OrtValue.ortvalue_from_numpy(np.arange(1000, dtype=np.float32))
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    assert len(pickled) < 1000
    got = pickle.loads(pickled, buffers=buffers)
    np.testing.assert_array_equal(got.numpy(), value.numpy())


def test_what_is_no_tensor() -> None:
    session = ort_rs.InferenceSession(model("g (float[2] x) => (seq(float[2]) s) { s = SequenceConstruct(x) }"))
    (value,) = session.run_with_ort_values(None, {"x": ort_rs.OrtValue.ortvalue_from_numpy(np.ones(2, np.float32))})
    with pytest.raises(TypeError, match="only tensors"):
        pickle.dumps(value)
