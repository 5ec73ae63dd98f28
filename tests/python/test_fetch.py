"""What comes back: which values, in what memory, and whose."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ort_rs
from models import ADD, identity, model
from paired import assert_same

X = np.arange(6, dtype=np.float32).reshape(2, 3)
FEEDS = {"x": X, "y": X}
CHAIN = model("g (float[2,3] x) => (float[2,3] c, float[2,3] b) { a = Neg(x) b = Abs(a) c = Add(a, b) }")


@pytest.mark.parametrize("names", [None, [], ["z"], ("z",), ["z", "z"], ["nope"]])
def test_output_names(names: Any) -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD).run(names, FEEDS))


@pytest.mark.parametrize("names", [["b"], ["c"], ["b", "c"], ["c", "b"], ["b", "b", "c"]])
def test_choice_and_order(names: list[str]) -> None:
    assert_same(lambda ort: ort.InferenceSession(CHAIN).run(names, {"x": X}))


@pytest.mark.parametrize("names", ["z", [1], 3])
def test_names_of_another_type(names: Any) -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD).run(names, FEEDS), text=False)


def test_keywords() -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD).run(output_names=None, input_feed=FEEDS, run_options=None))


def test_inner_values() -> None:
    """ONNX Runtime gives outputs only."""
    session = ort_rs.InferenceSession(CHAIN)
    a, c = session.run(["a", "c"], {"x": X})
    np.testing.assert_array_equal(a, -X)
    np.testing.assert_array_equal(c, np.zeros_like(X))


def test_memory_of_a_result() -> None:
    def flags(ort: ModuleType) -> list[Any]:
        (z,) = ort.InferenceSession(ADD).run(None, FEEDS)
        return [type(z.base).__name__, z.flags.owndata, z.flags.writeable, z.flags.c_contiguous, z.flags.aligned]

    assert_same(flags)


def test_results_outlive_everything() -> None:
    session = ort_rs.InferenceSession(ADD)
    (first,) = session.run(None, FEEDS)
    (second,) = session.run(None, {"x": -X, "y": -X})
    del session
    first += 1
    np.testing.assert_array_equal(first, X + X + 1)
    np.testing.assert_array_equal(second, -X - X)


def test_results_do_not_share_memory() -> None:
    (a, b) = ort_rs.InferenceSession(CHAIN).run(["b", "b"], {"x": X})
    a[:] = 9
    np.testing.assert_array_equal(b, X)


@pytest.mark.parametrize(
    "body",
    [
        "g (float[2,3] x) => (float[2,3] x) { y = Neg(x) }",
        "g (float[2,3] x) => (float[2,3] y) { y = Identity(x) }",
        "g (float[2,3] x) => (float[6] y) { s = Constant <value_ints = [-1]> () y = Reshape(x, s) }",
    ],
)
def test_an_input_that_comes_out_is_a_copy(body: str) -> None:
    x = X.copy()
    session = ort_rs.InferenceSession(model(body))
    (y,) = session.run(None, {"x": x})
    x[:] = 7
    np.testing.assert_array_equal(y.ravel(), X.ravel())
    y[:] = 8
    np.testing.assert_array_equal(x, np.full_like(X, 7))


def test_a_constant_that_comes_out_is_a_copy() -> None:
    body = model("g (float[1] x) => (float[2] w, float[1] y) <float[2] w = {1, 2}> { y = Identity(x) }")
    session = ort_rs.InferenceSession(body)
    for _ in range(2):
        w = session.run(["w"], {"x": X[0, :1]})[0]
        np.testing.assert_array_equal(w, [1, 2])
        w[:] = 5


def test_many_axes() -> None:
    shape = (1, 2, 1, 1, 3, 1, 1, 1, 1, 2)
    x = np.arange(12, dtype=np.float32).reshape(shape)
    assert_same(lambda ort: ort.InferenceSession(identity(f"float[{','.join(map(str, shape))}]")).run(None, {"x": x}))
