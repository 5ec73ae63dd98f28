"""Options and feeds that are refused, with the class of exception that ONNX Runtime raises."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from models import ADD
from paired import assert_same

X = np.ones((2, 3), np.float32)
SEQUENCE = helper.make_model(
    helper.make_graph(
        [helper.make_node("SequenceLength", ["x"], ["y"])],
        "g",
        [helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.INT64, [])],
    ),
    opset_imports=[helper.make_opsetid("", 17)],
    ir_version=8,
).SerializeToString()


def made(ort: ModuleType, **config: str) -> Any:
    """Whether a session of two threads is made with the options `config`, whose names are written with underscores twice for dots."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    for key, value in config.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    ort.InferenceSession(ADD, options, providers=["CPUExecutionProvider"])
    return True


@pytest.mark.parametrize("affinities", ["1", "1,2", "1-2", "abc", "0", "-1", "1-", "2-1", "", ";", "1;2;3"])
def test_affinities(affinities: str) -> None:
    assert_same(lambda ort: made(ort, session__intra_op_thread_affinities=affinities), text=False)


@pytest.mark.parametrize("base", ["0", "4", "-1", "abc", ""])
def test_dynamic_block_base(base: str) -> None:
    assert_same(lambda ort: made(ort, session__dynamic_block_base=base), text=False)


@pytest.mark.parametrize("value", ["", "apply", "save", "other"])
def test_minimal_build(value: str) -> None:
    assert_same(lambda ort: made(ort, optimization__minimal_build_optimizations=value))


@pytest.mark.parametrize("value", ["0", "1"])
def test_context_of_a_model_without_a_path(value: str) -> None:
    assert_same(lambda ort: made(ort, ep__context_enable=value))


@pytest.mark.parametrize("level", [-1, 0, 4, 5, 9])
def test_log_severities(level: int) -> None:
    def session(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.log_severity_level = level
        ort.InferenceSession(ADD, options, providers=["CPUExecutionProvider"])
        return True

    def run(ort: ModuleType) -> Any:
        options = ort.RunOptions()
        options.log_severity_level = level
        session = ort.InferenceSession(ADD, providers=["CPUExecutionProvider"])
        return session.run(None, {name.name: X for name in session.get_inputs()}, options)

    assert_same(session, text=False)
    assert_same(run, text=False)


def test_an_optimized_model_in_a_folder_that_is_missing() -> None:
    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = "/there/is/none/model.onnx"
        ort.InferenceSession(ADD, options, providers=["CPUExecutionProvider"])

    assert_same(call, text=False)


@pytest.mark.parametrize("feed", [[X.astype(np.float64)], [X, X.astype(np.int64)], X, {}], ids=["other", "mixed", "array", "dictionary"])
def test_sequences_of_other_types(feed: Any) -> None:
    assert_same(lambda ort: ort.InferenceSession(SEQUENCE, providers=["CPUExecutionProvider"]).run(None, {"x": feed}), text=False)
