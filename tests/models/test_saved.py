"""Saved optimized models are models of ONNX: its checker accepts them, and ONNX Runtime and ort_rs answer the same on them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest

import ort_rs
from agreement import LARGEST_ERROR, answers, reference
from racing.difference import difference
from racing.suite import DEFAULT_FOLDER, Suite

SUITE = Suite(DEFAULT_FOLDER) if DEFAULT_FOLDER.exists() else None

# Of every kind one that is quick to load: attention, loops, branches, recurrence, sequences, experts, convolutions of all dimensions.
NAMES = [
    "bilstm_tagger",
    "cond_dynamo",
    "loop_greedy",
    "lstm_dynamo",
    "mobilenet_v2",
    "ragged_sequence",
    "segformer_b0",
    "unet",
    "video_r3d",
    "yolov8n",
    "yolov8n_nms",
]
LEVEL = ort_rs.GraphOptimizationLevel
#: At the first level values are plain, at the second there are operators that only ort_rs has.
LEVELS = [LEVEL.ORT_ENABLE_EXTENDED, LEVEL.ORT_ENABLE_ALL]

needs_suite = pytest.mark.skipif(SUITE is None, reason=f"the models are not there: {DEFAULT_FOLDER}")


class Model(NamedTuple):
    """A model file, what is fed to it, and what ONNX Runtime answers."""

    path: Path
    feed: dict[str, Any]
    expected: list[Any]


@pytest.fixture(scope="module", params=NAMES)
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    assert SUITE is not None
    path = SUITE.materialize(request.param, tmp_path_factory.mktemp(request.param))
    feed = SUITE.inputs(request.param)
    yield Model(path, feed, reference(path, [feed])[0])
    for part in path.parent.iterdir():
        part.unlink()


def save(model: Path, saved: Path, level: ort_rs.GraphOptimizationLevel) -> None:
    options = ort_rs.SessionOptions()
    options.graph_optimization_level = level
    options.optimized_model_filepath = str(saved)
    ort_rs.InferenceSession(model, options)


def assert_same(model: Model, saved: Path) -> None:
    """Check that both runtimes answer on the saved model as ONNX Runtime on the original."""
    session: Any = onnxruntime.InferenceSession(saved, providers=["CPUExecutionProvider"])
    theirs = session.run(None, model.feed)
    assert [port.name for port in session.get_outputs()] == [port.name for port in ort_rs.InferenceSession(model.path).get_outputs()]
    (ours,) = answers(saved, [model.feed], LEVEL.ORT_ENABLE_ALL, threads=2)
    for got in (theirs, ours):
        error = difference(got, model.expected)
        assert error <= LARGEST_ERROR, f"the relative L2 error is {error:.3g}"


@needs_suite
@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_onnx(original: Model, level: ort_rs.GraphOptimizationLevel, tmp_path: Path) -> None:
    saved = tmp_path / "saved.onnx"
    save(original.path, saved, level)
    onnx.checker.check_model(saved, full_check=True)
    assert_same(original, saved)


@needs_suite
def test_ort(original: Model, tmp_path: Path) -> None:
    saved = tmp_path / "saved.ort"
    save(original.path, saved, LEVEL.ORT_ENABLE_ALL)
    assert_same(original, saved)


def made(text: str, **feed: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A model in ONNX's text form, and what is fed to it."""
    return onnx.parser.parse_model(text), feed


DRAW = np.random.default_rng(0)

MADE = {
    "a mask for all queries alike": made(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,2,4,8] q, float[1,2,4,8] k, float[1,2,4,8] v, float[1,1,1,4] mask) => (float[1,2,4,8] y)
        <float scale = {0.35}> {
            t = Transpose <perm = [0, 1, 3, 2]> (k)
            s = MatMul(q, t)
            d = Mul(s, scale)
            m = Add(d, mask)
            p = Softmax <axis = -1> (m)
            y = MatMul(p, v)
        }""",
        **{name: DRAW.standard_normal((1, 2, 4, 8), np.float32) for name in "qkv"},
        mask=np.array([0, 0, -10000, 0], np.float32).reshape(1, 1, 1, 4),
    ),
    "old nodes beside a normalization": made(
        """<ir_version: 8, opset_import: ["" : 11]>
        g (float[2,3,8] x) => (float[2,3,8] y, float[2,24] f)
        <float two = {2}, float e = {0.00001}, float[8] w = {1, 2, 3, 4, 5, 6, 7, 8}, float[8] b = {1, 0, 1, 0, 1, 0, 1, 0}> {
            m = ReduceMean <axes = [-1]> (x)
            d = Sub(x, m)
            s = Pow(d, two)
            v = ReduceMean <axes = [-1]> (s)
            n = Add(v, e)
            r = Sqrt(n)
            q = Div(d, r)
            z = Mul(q, w)
            o = Add(z, b)
            a, c = Split <axis = 2, split = [4, 4]> (o)
            h = Concat <axis = 2> (c, a)
            u = Unsqueeze <axes = [0]> (h)
            i = Squeeze <axes = [0]> (u)
            y = Softmax <axis = 2> (i)
            l = ReduceMax <axes = [0, 1], keepdims = 0> (y)
            k = Add(i, l)
            f = Flatten(k)
        }""",
        x=DRAW.standard_normal((2, 3, 8), np.float32),
    ),
}


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("name", MADE)
def test_made(name: str, level: ort_rs.GraphOptimizationLevel, tmp_path: Path) -> None:
    model, feed = MADE[name]
    path, saved = tmp_path / "model.onnx", tmp_path / "saved.onnx"
    onnx.save(model, path)
    save(path, saved, level)
    onnx.checker.check_model(saved, full_check=True)
    assert_same(Model(path, feed, reference(path, [feed])[0]), saved)
