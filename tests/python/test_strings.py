"""Tensors of strings, in all the forms that numpy has for them."""

from typing import Any

import numpy as np
import pytest

import ort_rs
from models import identity
from paired import assert_same

WORDS = [["", "a"], ["héllo", "日本語"]]
SESSION = identity("string[2,2]")


def run(x: Any) -> Any:
    return ort_rs.InferenceSession(SESSION).run(None, {"x": x})[0]


@pytest.mark.parametrize("x", [np.array(WORDS), np.array(WORDS, object), WORDS], ids=["text", "objects", "list"])
def test_text(x: Any) -> None:
    assert_same(lambda ort: ort.InferenceSession(SESSION).run(None, {"x": x}))
    np.testing.assert_array_equal(run(x), np.array(WORDS, object))


def test_results_are_objects() -> None:
    y = run(np.array(WORDS))
    assert y.dtype == object
    assert all(type(s) is str for s in y.ravel())


def test_bytes() -> None:
    """ONNX Runtime runs on past an item that fills its width."""
    x = np.array([[b"", b"a"], ["é".encode(), b"full"]])
    np.testing.assert_array_equal(run(x), np.array([["", "a"], ["é", "full"]], object))


def test_raw_items_keep_their_width() -> None:
    x = np.array([[b"a", b"b\0c"], [b"", b"abc"]], "S3").view("V3")
    assert_same(lambda ort: ort.InferenceSession(SESSION).run(None, {"x": x}))


def test_other_objects_become_text() -> None:
    x = np.array([[1, None], [2.5, b"raw"]], object)
    np.testing.assert_array_equal(run(x), np.array([["1", "None"], ["2.5", "raw"]], object))
    assert_same(lambda ort: ort.InferenceSession(SESSION).run(None, {"x": x[:, ::-1][1:]}), text=False)


def test_variable_width() -> None:
    np.testing.assert_array_equal(run(np.array(WORDS, np.dtypes.StringDType())), np.array(WORDS, object))


@pytest.mark.parametrize(
    "x", [np.array(WORDS).T, np.array(WORDS)[::-1], np.array(WORDS).astype(">U5")], ids=["transposed", "backwards", "swapped"]
)
def test_layouts(x: Any) -> None:
    np.testing.assert_array_equal(run(x), x.astype(object))


def test_no_utf8() -> None:
    x = np.array([[b"\xff\xfe", b"a"], [b"b", b"c"]])
    with pytest.raises(UnicodeDecodeError):
        run(x)
    with pytest.raises(UnicodeError):
        run(np.array([["\ud800", "a"], ["b", "c"]]))
    with pytest.raises(UnicodeError):
        run(np.array([["\ud800", "a"], ["b", "c"]], object))


def test_numbers_are_no_strings() -> None:
    assert_same(lambda ort: ort.InferenceSession(SESSION).run(None, {"x": np.zeros((2, 2), np.float32)}))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_shapes(shape: tuple[int, ...]) -> None:
    x = np.full(shape, "word", object)
    dims = ",".join(map(str, shape))
    assert_same(lambda ort: ort.InferenceSession(identity(f"string[{dims}]")).run(None, {"x": x}))
