"""Settings by name that change how a session is made and how it runs."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper

import ort_rs
from paired import assert_same

HEAD = '<ir_version: 9, opset_import: ["" : 20]> g '


def body(text: str) -> bytes:
    encoded: bytes = onnx.parser.parse_model(HEAD + text).SerializeToString()
    return encoded


def session(ort: ModuleType, model: bytes, threads: int = 0, **settings: str) -> Any:
    """A session with settings, in whose names `__` stands for a dot."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    for name, value in settings.items():
        options.add_session_config_entry(name.replace("__", "."), value)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


STATED = [
    "(float[2,3] x) => (float[2,4] y) { y = Neg(x) }",
    "(float[2,3] x) => (float[2,3] y) <float[2,3,1] h> { h = Neg(x) y = Neg(h) }",
    "(float[2,3] x) => (float[2,3] y) <float[2,7] h> { h = Neg(x) y = Neg(h) }",
    "(float[n,3] x) => (float[n,3] y) <float[m,3] h> { h = Neg(x) y = Neg(h) }",
]


@pytest.mark.parametrize("strict", ["0", "1"])
@pytest.mark.parametrize("text", STATED)
def test_shapes_that_a_model_states_wrongly(text: str, strict: str) -> None:
    def shapes(ort: ModuleType) -> Any:
        return [port.shape for port in session(ort, body(text), session__strict_shape_type_inference=strict).get_outputs()]

    assert_same(shapes)


PAIRS: list[tuple[list[Any], list[Any] | None]] = [
    ([2, 3], ["n", 3]),
    ([2, 3], [None, 3]),
    (["n", 3], [2, 3]),
    (["n", 3], ["m", 3]),
    (["n", 3], [None, 3]),
    ([None, 3], ["m", 3]),
    ([2, 3], [2]),
    ([2, 3], None),
    (["n", 3], [4, 4]),
]


@pytest.mark.parametrize(("given", "stated"), PAIRS)
def test_shapes_of_outputs(given: list[Any], stated: list[Any] | None) -> None:
    ports = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", given), ("y", stated))]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    assert_same(lambda ort: session(ort, model).get_outputs()[0].shape)


def test_an_output_of_another_type_is_refused() -> None:
    assert_same(lambda ort: session(ort, body("(float[2] x) => (double[2] y) { y = Neg(x) }")))


def test_denormal_numbers_count_as_zero_on_request() -> None:
    model = body("(float[n] x, float[n] w) => (float[n] y) { y = Mul(x, w) }")
    small = np.full(300_000, 2.0**-126, np.float32)
    feeds = {"x": small, "w": np.full(300_000, 0.5, np.float32)}
    for value, expected in (("1", 0.0), ("0", 2.0**-127)):
        # Two threads: that of the caller, and a helper.
        runs = session(ort_rs, model, 2, session__set_denormal_as_zero=value)
        assert set(runs.run(None, feeds)[0].tolist()) == {expected}
    assert np.float32(2.0**-126) * np.float32(0.5) > 0


def helpers() -> dict[str, set[int]]:
    """The processors of each helper thread."""
    tasks = Path("/proc/self/task")
    names = {task.name: (task / "comm").read_text().strip() for task in tasks.iterdir()}
    return {name: os.sched_getaffinity(int(task)) for task, name in names.items() if name.startswith("ort-rs-")}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="there is one processor")
def test_helpers_are_kept_on_their_processors() -> None:
    model = body("(float[n,512] x, float[512,512] w) => (float[n,512] y) { y = MatMul(x, w) }")
    feeds = {"x": np.ones((512, 512), np.float32), "w": np.ones((512, 512), np.float32)}
    every = os.sched_getaffinity(0)
    for processor in sorted(every)[:2]:
        pinned = session(ort_rs, model, 2, session__intra_op_thread_affinities=str(processor + 1))
        pinned.run(None, feeds)
        assert {processor} in helpers().values()
    free = session(ort_rs, model, 2)
    free.run(None, feeds)
    assert all(len(processors) >= len(every) - 1 for processors in helpers().values())


def test_a_processor_that_is_not_there_is_warned_of(capfd: pytest.CaptureFixture[str]) -> None:
    options = ort_rs.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op_thread_affinities", "9999")
    runs = ort_rs.InferenceSession(body("(float[n] x) => (float[n] y) { y = Neg(x) }"), options)
    assert "cannot be kept on processors [9998]" in capfd.readouterr().err
    assert runs.run(None, {"x": np.ones(3, np.float32)})[0].tolist() == [-1.0] * 3


def operators(made: ort_rs.InferenceSession) -> set[str]:
    return {node.op.split("-")[0] for node in made.explain().nodes}


@pytest.mark.parametrize("name", ["fold", "ConstantFolding", "nothing;ConstantFolding"])
def test_passes_are_left_out_by_either_name(name: str) -> None:
    model = body("(float[2] x) => (float[2] y) { c = Constant <value_floats = [1.0, 2.0]> () n = Neg(c) y = Add(x, n) }")
    listed = session(ort_rs, model, optimization__disable_specified_optimizers=name)
    left_out = ort_rs.InferenceSession(model, disabled_optimizers=name.split(";"))
    for made in (listed, left_out):
        assert {"Neg", "Add"} <= operators(made)
    assert "Neg" not in operators(session(ort_rs, model))


@pytest.mark.parametrize("limit", ["x", "0", "-1", "1000"])
def test_the_limit_of_functions(limit: str) -> None:
    model = body("(float[2] x) => (float[2] y) { y = Neg(x) }")
    assert_same(lambda ort: session(ort, model, session__function_expansion_node_limit=limit).get_outputs()[0].name)


def test_threads_that_sleep_at_once() -> None:
    model = body("(float[n,256] x, float[256,256] w) => (float[n,256] y) { y = MatMul(x, w) }")
    feeds = {"x": np.ones((256, 256), np.float32), "w": np.ones((256, 256), np.float32)}
    expected = session(ort_rs, model, 2).run(None, feeds)[0]
    for settings in ({"session__intra_op__allow_spinning": "0"}, {"session__intra_op__spin_duration_us": "5"}):
        np.testing.assert_array_equal(session(ort_rs, model, 2, **settings).run(None, feeds)[0], expected)
