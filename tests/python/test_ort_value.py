"""Values outside of numpy: made, read, written, lent and borrowed."""

import gc
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest

import ort_rs
from models import ADD, identity
from ort_rs.capi import _pybind_state as native
from paired import assert_same

X = np.arange(6, dtype=np.float32).reshape(2, 3)
READERS = ("shape", "data_type", "element_type", "device_name", "is_tensor", "is_tensor_sequence", "is_sparse_tensor", "has_value")
NUMBERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]


def describe(value: Any) -> list[Any]:
    return [getattr(value, name)() for name in READERS]


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)])
def test_from_numpy(dtype: str, shape: tuple[int, ...]) -> None:
    x: Any = np.ones(shape, dtype)

    def call(ort: ModuleType) -> Any:
        value = ort.OrtValue.ortvalue_from_numpy(x)
        return [*describe(value), value.tensor_size_in_bytes(), value.numpy()]

    assert_same(call)


@pytest.mark.parametrize("x", [X.T, X[:, ::2], X[::-1]], ids=["transposed", "strided", "backwards"])
def test_from_layouts(x: Any) -> None:
    assert_same(lambda ort: ort.OrtValue.ortvalue_from_numpy(x).numpy())


@pytest.mark.parametrize("what", [[1, 2], 3, np.array(["a"]), np.array(["a"], object), np.array([b"a"])])
def test_no_numbers(what: Any) -> None:
    assert_same(lambda ort: ort.OrtValue.ortvalue_from_numpy(what))


SHAPES: dict[str, tuple[Any, ...]] = {
    "numpy type": ([2, 3], np.float64),
    "type of an array": ((2, 3), np.dtype("int8")),
    "number": ([2, 3], 1),
    "bfloat16": ([2, 3], 16),
    "int4": ([3], 22),
    "scalar": ([], 7),
    "empty": ([0, 3], 1),
    "shape of an array": (X.shape, np.int64),
    "strings": ([2], 8),
    "str": ([2], str),
    "no such number": ([2], 99),
    "no type": ([2], None),
    "cuda": ([2], 1, "cuda"),
    "nobody's device": ([2], 1, "foo"),
    "negative": ([2, -3], 1),
    "too large": ([1 << 40, 1 << 40], 1),
}


@pytest.mark.parametrize("case", SHAPES)
def test_from_shape(case: str) -> None:
    if case == "no type":  # numpy takes None for float64.
        return
    assert_same(lambda ort: describe(ort.OrtValue.ortvalue_from_shape_and_type(*SHAPES[case])), text=False)


def test_new_memory_holds_zeros() -> None:
    assert not ort_rs.OrtValue.ortvalue_from_shape_and_type([4, 4], np.float32).numpy().any()


@pytest.mark.parametrize(
    ("dtype", "number"), [("uint16", 16), ("uint8", 9), ("float32", 1), ("float32", 6), ("float32", 16), ("float32", 8), ("float32", 99)]
)
def test_with_onnx_type(dtype: str, number: int) -> None:
    x: Any = np.ones((2, 2), dtype)
    assert_same(lambda ort: describe(ort.OrtValue.ortvalue_from_numpy_with_onnx_type(x, number)), text=False)


def test_types_that_numpy_lacks() -> None:
    x = np.array([1, -2], ml_dtypes.bfloat16)
    value = ort_rs.OrtValue.ortvalue_from_numpy(x)
    assert (value.data_type(), value.element_type()) == ("tensor(bfloat16)", 16)
    assert value.numpy().dtype == x.dtype
    raw = ort_rs.OrtValue.ortvalue_from_numpy_with_onnx_type(x.copy().view(np.uint16), 16)
    np.testing.assert_array_equal(raw.numpy(), x)
    raw.update_inplace((x + x).view(np.uint16))
    np.testing.assert_array_equal(raw.numpy(), x + x)


def test_memory_is_shared() -> None:
    def call(ort: ModuleType) -> Any:
        x = X.copy()
        value = ort.OrtValue.ortvalue_from_numpy(x)
        value.numpy()[0, 0] = 7
        again = np.asarray(value)
        again[0, 1] = 8
        return [x, value.data_ptr() == x.ctypes.data, value.numpy(), np.asarray(value, np.float64), np.shares_memory(again, x)]

    assert_same(call)


def test_asarray_and_copies() -> None:
    value = ort_rs.OrtValue.ortvalue_from_numpy(X.copy())
    assert not np.shares_memory(np.array(value), value.numpy())
    with pytest.raises(ValueError, match="copy"):
        np.asarray(value, np.int8, copy=False)


def test_values_keep_their_memory() -> None:
    value = ort_rs.OrtValue.ortvalue_from_numpy(np.full((100, 100), 3, np.float32))
    view = value.numpy()
    del value
    gc.collect()
    assert (view == 3).all()


def test_read_only_arrays() -> None:
    x = X.copy()
    x.setflags(write=False)
    value = ort_rs.OrtValue.ortvalue_from_numpy(x)
    assert not value.numpy().flags.writeable
    with pytest.raises(RuntimeError, match="cannot be written to"):
        value.update_inplace(X)


UPDATES: dict[str, Any] = {
    "same": X + 1,
    "transposed": (X + 1).reshape(3, 2).T,
    "another shape": (X + 1).reshape(3, 2),
    "too few": X[:1],
    "too many": np.zeros((4, 3), np.float32),
    "a list": [1],
}


@pytest.mark.parametrize("case", UPDATES)
def test_update(case: str) -> None:
    def call(ort: ModuleType) -> Any:
        value = ort.OrtValue.ortvalue_from_numpy(X.copy())
        value.update_inplace(UPDATES[case])
        return value.numpy()

    assert_same(call)


@pytest.mark.parametrize("source", [np.ones((2, 3), np.float32), np.ones(3, np.float32), np.ones((2, 3), np.int32)])
def test_update_by_a_value(source: Any) -> None:
    def call(ort: ModuleType) -> Any:
        value = ort.OrtValue.ortvalue_from_numpy(X.copy())
        value.update_inplace(ort.OrtValue.ortvalue_from_numpy(source))
        return value.numpy()

    assert_same(call)


def test_update_by_another_type() -> None:
    """ONNX Runtime copies bytes of any type."""
    value = ort_rs.OrtValue.ortvalue_from_numpy(X.copy())
    with pytest.raises(RuntimeError, match="int32 cannot update a tensor of float"):
        value.update_inplace(np.zeros((2, 3), np.int32))


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "float16"])
@pytest.mark.parametrize("shape", [(2, 3), (), (0,), (4, 0), (1, 8, 0, 128)])
def test_dlpack_there_and_back(dtype: str, shape: tuple[int, ...]) -> None:
    def call(ort: ModuleType) -> Any:
        x: Any = np.ones(shape, dtype)
        value = ort.OrtValue.from_dlpack(x)
        back = np.from_dlpack(value)
        other = ort.OrtValue.from_dlpack(value)
        same = x.size == 0 or (value.data_ptr() == x.ctypes.data == other.data_ptr() == back.ctypes.data)
        return [describe(value), back, same, value.__dlpack_device__()]

    assert_same(call)


def test_dlpack_keeps_its_source() -> None:
    value = ort_rs.OrtValue.from_dlpack(np.full(1000, 5, np.int64))
    gc.collect()
    back = np.from_dlpack(value)
    del value
    gc.collect()
    assert (back == 5).all()


def test_booleans_through_dlpack() -> None:
    def call(ort: ModuleType) -> Any:
        value = ort.OrtValue.ortvalue_from_numpy(np.array([True, False]))
        again = ort.OrtValue.from_dlpack(value)
        return [again.data_type(), again.numpy(), np.from_dlpack(value)]

    assert_same(call)
    assert ort_rs.OrtValue.from_dlpack(np.array([True])).data_type() == "tensor(bool)"


def test_capsules() -> None:
    def call(ort: ModuleType) -> Any:
        from_capi = getattr(ort.capi, "_pybind_state" if ort is ort_rs else "onnxruntime_pybind11_state")
        value = ort.OrtValue.ortvalue_from_numpy(np.array([True, False]))
        capsule = value._get_c_value().to_dlpack()
        seen = [from_capi.is_dlpack_uint8_tensor(capsule)]
        taken = from_capi.OrtValue.from_dlpack(capsule, True)
        seen += [taken.data_type(), taken.numpy()]
        floats = ort.OrtValue.ortvalue_from_numpy(X.copy()).__dlpack__()
        return [*seen, from_capi.is_dlpack_uint8_tensor(floats)]

    import ort_rs.capi._pybind_state

    assert_same(call)


def test_a_capsule_is_taken_once() -> None:
    capsule = ort_rs.OrtValue.ortvalue_from_numpy(X.copy()).__dlpack__()
    ort_rs.OrtValue.from_dlpack(capsule)
    with pytest.raises(TypeError, match="dltensor"):
        ort_rs.OrtValue.from_dlpack(capsule)
    ort_rs.OrtValue.ortvalue_from_numpy(X.copy()).__dlpack__()  # Nobody takes it.


@pytest.mark.parametrize("what", [3, X.T, np.array([1j]).T[::-1]])
def test_what_cannot_be_borrowed(what: Any) -> None:
    if isinstance(what, np.ndarray) and what.dtype == complex:
        assert ort_rs.OrtValue.from_dlpack(what.copy()).data_type() == "tensor(complex128)"
        return
    assert_same(lambda ort: ort.OrtValue.from_dlpack(what), text=False)


def test_torch_like_devices() -> None:
    value = ort_rs.OrtValue.ortvalue_from_numpy(X.copy())
    copy = ort_rs.OrtValue.from_dlpack(value.__dlpack__(copy=True, dl_device=(1, 0)))
    assert copy.data_ptr() != value.data_ptr()
    with pytest.raises(BufferError):
        value.__dlpack__(dl_device=(2, 0))


def test_made_of_another() -> None:
    value = ort_rs.OrtValue.ortvalue_from_numpy(X.copy())
    assert ort_rs.OrtValue(value).data_ptr() == value.data_ptr()
    assert value._get_c_value() is value is value._ortvalue
    assert native.OrtValue is ort_rs.OrtValue
    assert_same(lambda ort: ort.OrtValue(3), text=False)


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_fed_values(dtype: str) -> None:
    x: Any = np.ones((2, 3), dtype)

    def call(ort: ModuleType) -> Any:
        value = ort.OrtValue.ortvalue_from_numpy(x)
        (y,) = ort.InferenceSession(identity(f"{'float' if dtype == 'float32' else 'bool'}[2,3]")).run(None, {"x": value})
        return [y, value.numpy(), value.data_ptr() == x.ctypes.data]

    assert_same(call)


def test_values_beside_arrays() -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD).run(None, {"x": ort.OrtValue.ortvalue_from_numpy(X), "y": X}))


def test_wild_booleans_are_tamed() -> None:
    value = ort_rs.OrtValue.ortvalue_from_numpy(np.array([True, False]))
    value.numpy().view(np.uint8)[:] = [7, 0]
    (y,) = ort_rs.InferenceSession(identity("bool[2]")).run(None, {"x": value})
    assert y.view(np.uint8).tolist() == [1, 0]


def test_copies() -> None:
    def values(ort: ModuleType) -> Any:
        return ort.OrtValue.ortvalue_from_numpy(X.copy()), ort.OrtValue.ortvalue_from_shape_and_type([2, 3], 1)

    source, target = values(ort_rs)
    ort_rs.copy_tensors([source], [target])
    np.testing.assert_array_equal(target.numpy(), X)
    with pytest.raises(RuntimeError):
        ort_rs.copy_tensors([source], [])
    with pytest.raises(RuntimeError):
        ort_rs.copy_tensors([source], [ort_rs.OrtValue.ortvalue_from_shape_and_type([7], 1)])
    with pytest.raises(TypeError):
        ort_rs.copy_tensors([source], [target], 3)


def test_vectors() -> None:
    def call(vector: Any, value: Any) -> Any:
        vector.reserve(10)
        vector.push_back(value)
        vector.push_back(X.copy().__dlpack__())
        vector.shrink_to_fit()
        seen = [len(vector), vector[0].numpy(), [v.shape() for v in vector], vector.element_type_at(1), vector.bool_tensor_indices()]
        return [*seen, len(vector.to_dlpacks(None)), vector.to_dlpacks(lambda capsule: type(capsule).__name__)]

    theirs = onnxruntime.capi.onnxruntime_pybind11_state
    for module in (native, theirs):
        value = module.OrtValue.ortvalue_from_numpy(np.array([True]), module.OrtDevice(0, 0, 0))
        seen = call(module.OrtValueVector(), value)
        assert seen[0] == 2
        assert [seen[i] for i in (2, 3, 4, 5, 6)] == [[[1], [2, 3]], 1, [0], 2, ["PyCapsule", "PyCapsule"]]
        with pytest.raises(IndexError):
            module.OrtValueVector().element_type_at(3)
