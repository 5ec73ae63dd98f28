"""The interface of ONNX's backends."""

import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime.backend
import pytest

import ort_rs
import ort_rs.backend
from models import ADD
from paired import assert_equal, ending

X = np.ones((2, 3), np.float32)
PROTO = onnx.ModelProto.FromString(ADD)
BACKENDS: tuple[ModuleType, ModuleType] = (onnxruntime.backend, ort_rs.backend)


def assert_same(call: Any) -> None:
    theirs, ours = (ending(functools.partial(call, b)) for b in BACKENDS)
    assert ours.kind == theirs.kind, f"{ours.error or ours.value} against {theirs.error or theirs.value}"
    if theirs.error is None:
        assert_equal(ours.value, theirs.value)


@pytest.mark.parametrize("inputs", [[X, X], X])
def test_runs(inputs: Any) -> None:
    assert_same(lambda b: b.prepare(PROTO).run(inputs))
    assert_same(lambda b: b.run_model(PROTO, inputs) if b is BACKENDS[1] else b.run(PROTO, inputs))
    assert_same(lambda b: b.run(ADD, inputs))


def test_too_few_inputs() -> None:
    with pytest.raises(ValueError, match="Required inputs"):
        ort_rs.backend.prepare(PROTO).run([X])


def test_sources(tmp_path: Path) -> None:
    path = tmp_path / "add.onnx"
    path.write_bytes(ADD)
    assert_same(lambda b: b.prepare(str(path)).run([X, X]))
    session = ort_rs.InferenceSession(ADD)
    rep = ort_rs.backend.prepare(session)
    assert ort_rs.backend.prepare(rep) is rep
    np.testing.assert_array_equal(rep.run([X, X])[0], X + X)


@pytest.mark.parametrize("device", ["CPU", "CUDA", "CUDA:0", "TPU"])
def test_devices(device: str) -> None:
    assert_same(lambda b: b.supports_device(device))
    assert_same(lambda b: b.prepare(PROTO, device).run([X, X]))


@pytest.mark.parametrize(
    "keywords",
    [
        {"intra_op_num_threads": 1},
        {"logid": "me"},
        {"nobody": 1},
        {"enable_profiling": True},
        {"optimized_model_filepath": "x"},
        {"terminate": True},
    ],
)
def test_keywords(keywords: dict[str, Any]) -> None:
    assert_same(lambda b: b.prepare(ADD, **keywords).run([X, X]))
    assert_same(lambda b: b.prepare(ADD).run([X, X], **keywords))
    assert_same(lambda b: b.run(ADD, [X, X], **keywords))
