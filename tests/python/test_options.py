"""Options of sessions and runs."""

import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

import ort_rs
from models import ADD, model
from paired import assert_same

X = np.ones((2, 3), np.float32)
FEEDS = {"x": X, "y": X}

SESSION_DEFAULTS = (
    "enable_cpu_mem_arena",
    "enable_mem_pattern",
    "enable_mem_reuse",
    "enable_profiling",
    "inter_op_num_threads",
    "intra_op_num_threads",
    "log_severity_level",
    "log_verbosity_level",
    "logid",
    "optimized_model_filepath",
    "profile_file_prefix",
    "use_deterministic_compute",
    "use_per_session_threads",
)


def test_defaults() -> None:
    assert_same(lambda ort: [getattr(ort.SessionOptions(), name) for name in SESSION_DEFAULTS])
    run = ("log_severity_level", "log_verbosity_level", "logid", "only_execute_path_to_fetches", "terminate")
    assert_same(lambda ort: [getattr(ort.RunOptions(), name) for name in run])


@pytest.mark.parametrize(
    ("name", "value"),
    [("intra_op_num_threads", 3), ("intra_op_num_threads", -3), ("logid", "me"), ("enable_mem_pattern", False), ("log_severity_level", 4)],
)
def test_attributes_read_back(name: str, value: Any) -> None:
    def back(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        setattr(options, name, value)
        return getattr(ort.InferenceSession(ADD, options).get_session_options(), name)

    assert_same(back)


@pytest.mark.parametrize(
    ("name", "value"), [("intra_op_num_threads", "a"), ("graph_optimization_level", 1), ("execution_mode", 0), ("nobody", 1)]
)
def test_values_of_another_type(name: str, value: Any) -> None:
    assert_same(lambda ort: setattr(ort.SessionOptions(), name, value), text=False)


ENUMS = {
    "GraphOptimizationLevel": "graph_optimization_level",
    "ExecutionMode": "execution_mode",
    "ExecutionOrder": "execution_order",
}


@pytest.mark.parametrize("name", ENUMS)
def test_enumerations(name: str) -> None:
    def describe(ort: ModuleType) -> list[Any]:
        enum = getattr(ort, name)
        members = enum.__members__.values()
        return [[m.name, m.value, int(m), str(m), repr(m), enum(m.value) == m] for m in members]

    def back(ort: ModuleType) -> list[Any]:
        options = ort.SessionOptions()
        seen = [repr(getattr(options, ENUMS[name]))]
        for member in getattr(ort, name).__members__.values():
            setattr(options, ENUMS[name], member)
            seen.append(repr(getattr(options, ENUMS[name])))
        return seen

    assert_same(describe)
    assert_same(back)
    for member in getattr(ort_rs, name):
        assert pickle.loads(pickle.dumps(member)) is member


@pytest.mark.parametrize("kind", ["SessionOptions", "RunOptions"])
def test_config_entries(kind: str) -> None:
    word = "session" if kind == "SessionOptions" else "run"

    def call(ort: ModuleType, *entries: tuple[str, str], key: str) -> Any:
        options = getattr(ort, kind)()
        for entry in entries:
            getattr(options, f"add_{word}_config_entry")(*entry)
        return getattr(options, f"get_{word}_config_entry")(key)

    assert_same(lambda ort: call(ort, ("some.key", "1"), ("some.key", "2"), key="some.key"))
    assert_same(lambda ort: call(ort, key="nobody"))
    assert_same(lambda ort: call(ort, ("", "1"), key=""))
    assert_same(lambda ort: call(ort, ("k" * 1025, "1"), key=""))


def test_free_dimensions() -> None:
    def shapes(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.add_free_dimension_override_by_name("n", 3)
        session = ort.InferenceSession(ADD, options)
        return [a.shape for a in session.get_inputs()], session.run(None, FEEDS)

    assert_same(shapes)


def test_optimized_model_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "optimized.onnx"
    options = ort_rs.SessionOptions()
    options.optimized_model_filepath = str(path)
    ort_rs.InferenceSession(model("g (float[2,3] x) => (float[2,3] z) { a = Neg(x) b = Neg(a) z = Abs(b) }"), options)
    onnx.checker.check_model(onnx.load(path))
    np.testing.assert_array_equal(ort_rs.InferenceSession(path).run(None, {"x": X})[0], X)


def test_a_cancelled_run() -> None:
    def cancelled(ort: ModuleType) -> Any:
        options = ort.RunOptions()
        options.terminate = True
        return ort.InferenceSession(ADD).run(None, FEEDS, options)

    def taken_back(ort: ModuleType) -> Any:
        options = ort.RunOptions()
        options.terminate = True
        options.terminate = False
        return ort.InferenceSession(ADD).run(None, FEEDS, options)

    assert_same(cancelled)
    assert_same(taken_back)


def test_run_options_of_another_type() -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD).run(None, FEEDS, 3), text=False)


def test_options_serve_many_sessions() -> None:
    options = ort_rs.SessionOptions()
    for _ in range(3):
        ort_rs.InferenceSession(ADD, options).run(None, FEEDS, ort_rs.RunOptions())


@pytest.mark.parametrize("value", [1, 0, None, np.bool_(True), "yes", 0.0])
@pytest.mark.parametrize("name", ["enable_mem_pattern", "use_deterministic_compute"])
def test_truth_values(name: str, value: Any) -> None:
    def given(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        setattr(options, name, value)
        return getattr(options, name)

    assert_same(given, text=False)
