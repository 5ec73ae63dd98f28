"""What may be fed, and how what may not is refused."""

import gc
import weakref
from collections import OrderedDict
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import pytest

import ort_rs
from models import ADD, identity, model
from paired import assert_same, both

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def run(ort: ModuleType, feeds: Any, body: bytes = ADD) -> Any:
    return ort.InferenceSession(body, providers=["CPUExecutionProvider"]).run(None, feeds)


FEEDS: dict[str, Any] = {
    "arrays": {"x": X, "y": X},
    "subclass": {"x": np.ma.array(X), "y": X},
    "transposed": {"x": np.asfortranarray(X), "y": X},
    "strided": {"x": np.repeat(X, 2, axis=1)[:, ::2], "y": X},
    "backwards": {"x": X[::-1, ::-1], "y": X},
    "repeated": {"x": np.broadcast_to(X[0], (2, 3)), "y": X},
    "list": {"x": [[1, 2, 3], [4, 5, 6]], "y": X},
    "list of arrays": {"x": [X[0], X[1]], "y": X},
    "ordered dict": OrderedDict(y=X, x=X),
    "mapping": MappingProxyType({"x": X, "y": X}),
    "missing one": {"x": X},
    "missing all": {},
    "unknown": {"x": X, "y": X, "q": X},
    "double": {"x": X.astype(np.float64), "y": X},
    "int32": {"x": X.astype(np.int32), "y": X},
    "rank": {"x": X[0], "y": X},
    "one dim": {"x": X[:1], "y": X},
    "two dims": {"x": np.ones((3, 4), np.float32), "y": X},
    "long double": {"x": X.astype(np.longdouble), "y": X},
    "dates": {"x": X.astype("M8[s]"), "y": X},
    "objects": {"x": X.astype(object), "y": X},
    "text": {"x": X.astype("U"), "y": X},
    "raw items": {"x": np.zeros((2, 3), "V4"), "y": X},
    "records": {"x": np.zeros((2, 3), "f4,f4"), "y": X},
    "number": {"x": 1.0, "y": X},
    "memoryview": {"x": memoryview(b"123"), "y": X},
    "ragged list": {"x": [[1.0, 2], [4, 5, 6]], "y": X},
    "flat list": {"x": [1, 2, 3], "y": X},
    "empty list": {"x": [], "y": X},
    "no mapping": [X, X],
    "nothing": None,
}


@pytest.mark.parametrize("case", FEEDS)
def test_same_as_onnx_runtime(case: str) -> None:
    assert_same(lambda ort: run(ort, FEEDS[case]))


# Here only the class of the exception is the same: our text says more, or theirs is that of a binding generator.
OTHER_TEXT: dict[str, Any] = {
    "dictionary": {"x": {"a": 1}, "y": X},
    "name of another type": {1: X, "x": X, "y": X},
    "tuple": {"x": ((1, 2, 3), (4, 5, 6)), "y": X},
    "bytes": {"x": b"123", "y": X},
    "string": {"x": "abc", "y": X},
    "range": {"x": range(3), "y": X},
    "none": {"x": None, "y": X},
}


@pytest.mark.parametrize("case", OTHER_TEXT)
def test_same_class_of_exception(case: str) -> None:
    assert_same(lambda ort: run(ort, OTHER_TEXT[case]), text=False)


def test_byte_order_is_heeded() -> None:
    """ONNX Runtime takes swapped bytes for numbers as they are."""
    theirs, ours = both(lambda ort: run(ort, {"x": X.astype(">f4"), "y": X}))
    np.testing.assert_array_equal(ours.value[0], X + X)
    assert not np.array_equal(theirs.value[0], X + X)


def test_misaligned_memory() -> None:
    raw = np.zeros(25, np.uint8)
    x = raw[1:].view(np.float32).reshape(2, 3)
    x[:] = X
    assert not x.flags.aligned
    np.testing.assert_array_equal(run(ort_rs, {"x": x, "y": X})[0], X + X)


def test_read_only_arrays() -> None:
    x = X.copy()
    x.flags.writeable = False
    assert_same(lambda ort: run(ort, {"x": x, "y": x}))


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0, 2), ()])
def test_without_elements_or_axes(shape: tuple[int, ...]) -> None:
    dims = ",".join(map(str, shape))
    x = np.ones(shape, np.float32)
    assert_same(lambda ort: run(ort, {"x": x}, identity(f"float[{dims}]")))


def test_numpy_scalars_are_arrays_without_axes() -> None:
    """ONNX Runtime refuses them."""
    (y,) = run(ort_rs, {"x": np.float32(3)}, identity("float[]"))
    assert (y.shape, float(y)) == ((), 3.0)


class Lender:
    """Memory of another library, lent as DLPack has it."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class Interface:
    """An array that has nothing but `__array_interface__`."""

    def __init__(self, array: Any) -> None:
        self.array = array

    @property
    def __array_interface__(self) -> Any:
        return self.array.__array_interface__


def test_array_interface() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    session = ort_rs.InferenceSession(ADD)
    (z,) = session.run(None, {"x": Interface(x), "y": Interface(np.asfortranarray(x))})
    np.testing.assert_array_equal(z, x + x)


def test_dlpack() -> None:
    """ONNX Runtime refuses such objects."""
    np.testing.assert_array_equal(run(ort_rs, {"x": Lender(X), "y": X})[0], X + X)


@pytest.mark.parametrize("raw", [[0, 1, 2, 255], [0, 1, 1, 0]])
def test_booleans_of_other_bytes(raw: list[int]) -> None:
    x = np.array(raw, np.uint8).view(np.bool_)
    (y,) = run(ort_rs, {"x": x}, identity("bool[4]"))
    np.testing.assert_array_equal(y.view(np.uint8), np.array(raw, np.uint8) != 0)


def test_feeds_are_let_go() -> None:
    session = ort_rs.InferenceSession(ADD)
    x = X.copy()
    alive = weakref.ref(x)
    for _ in range(3):
        session.run(None, {"x": x, "y": x})
    del x
    gc.collect()
    assert alive() is None


def test_feeds_are_not_written() -> None:
    x, y = X.copy(), X.copy()
    run(ort_rs, {"x": x, "y": y}, model("g (float[2,3] x, float[2,3] y) => (float[2,3] z) { a = Add(x, y) b = Neg(a) z = Add(b, x) }"))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, X)


def test_defaults_may_be_fed() -> None:
    body = model("g (float[2] x, float[2] w = {1, 2}) => (float[2] y) { y = Add(x, w) }")
    x = np.zeros(2, np.float32)
    assert_same(lambda ort: run(ort, {"x": x}, body))
    assert_same(lambda ort: run(ort, {"x": x, "w": x + 7}, body))
    assert_same(lambda ort: [(a.name, a.type, a.shape) for a in ort.InferenceSession(body).get_overridable_initializers()])
