"""Inputs and outputs bound to memory."""

import gc
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest

import ort_rs
from models import ADD, identity, model
from ort_rs.capi import onnxruntime_pybind11_state as native
from paired import assert_same

X = np.arange(6, dtype=np.float32).reshape(2, 3)
NEG = model("g (float[n] x) => (float[n] y) { y = Neg(x) }")
TWO = model("g (float[2] x) => (float[2] a, float[2] b) { a = Neg(x) b = Abs(x) }")


def bound(ort: ModuleType, body: bytes = ADD, **arrays: Any) -> tuple[Any, Any]:
    """A session of `body`, and a binding with `arrays` as inputs."""
    session = ort.InferenceSession(body)
    binding = session.io_binding()
    for name, array in arrays.items():
        binding.bind_cpu_input(name, array)
    return session, binding


def test_arrays_in_and_out() -> None:
    def call(ort: ModuleType) -> Any:
        session, binding = bound(ort, x=X, y=X)
        binding.bind_output("z")
        binding.synchronize_inputs()
        session.run_with_iobinding(binding, ort.RunOptions())
        binding.synchronize_outputs()
        (value,) = binding.get_outputs()
        return [binding.copy_outputs_to_cpu(), value.numpy(), value.data_type(), len(binding.get_outputs_as_ortvaluevector())]

    assert_same(call)


TYPES = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


@pytest.mark.parametrize("by_number", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_pointers(dtype: str, by_number: bool) -> None:
    import onnx

    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    name = {"float32": "float", "float64": "double"}.get(dtype, dtype)

    def call(ort: ModuleType) -> Any:
        x: Any = np.ones((2, 3), dtype)
        y: Any = np.zeros((2, 3), dtype)
        element: Any = number if by_number else np.dtype(dtype).type
        session, binding = bound(ort, identity(f"{name}[2,n]"))
        binding.bind_input("x", "cpu", 0, element, x.shape, x.ctypes.data)
        binding.bind_output("y", "cpu", 0, element, list(y.shape), y.ctypes.data)
        session.run_with_iobinding(binding)
        return [y, binding.get_outputs()[0].data_ptr() == y.ctypes.data]

    assert_same(call)


def test_pointers_to_types_that_numpy_lacks() -> None:
    for dtype, number in [(ml_dtypes.bfloat16, 16), (ml_dtypes.float8_e4m3fn, 17), (ml_dtypes.float8_e5m2, 19)]:
        x, y = np.array([1, -2], dtype), np.zeros(2, dtype)
        name = {16: "bfloat16", 17: "float8e4m3fn", 19: "float8e5m2"}[number]
        session, binding = bound(ort_rs, identity(f"{name}[2]", opset=21))
        binding.bind_input("x", "cpu", 0, number, [2], x.ctypes.data)
        binding.bind_output("y", "cpu", 0, number, [2], y.ctypes.data)
        session.run_with_iobinding(binding)
        assert x.tobytes() == y.tobytes()


REFUSED: dict[str, tuple[Any, ...]] = {
    "strings by number": ("x", "cpu", 0, 8, (2, 3), 64),
    "strings by type": ("x", "cpu", 0, str, (2, 3), 64),
    "bytes": ("x", "cpu", 0, "S", (2, 3), 64),
    "objects": ("x", "cpu", 0, object, (2, 3), 64),
    "no such type": ("x", "cpu", 0, 99, (2, 3), 64),
    "no such device": ("x", "foo", 0, 1, (2, 3), 64),
    "no such input": ("q", "cpu", 0, 1, (2, 3), X.ctypes.data),
    "another device": ("x", "cuda", 0, 1, (2, 3), 64),
    "a negative size": ("x", "cpu", 0, 1, (2, -3), 64),
}


@pytest.mark.parametrize("case", REFUSED)
def test_inputs_that_cannot_be_bound(case: str) -> None:
    assert_same(lambda ort: bound(ort)[1].bind_input(*REFUSED[case]), text=False)


def test_pointers_are_checked() -> None:
    """ONNX Runtime reads from whatever it is given."""
    _, binding = bound(ort_rs)
    for address in (0, X.ctypes.data + 1):
        with pytest.raises(RuntimeError):
            binding.bind_input("x", "cpu", 0, np.float32, (2, 3), address)
        with pytest.raises(RuntimeError):
            binding.bind_output("z", "cpu", 0, np.float32, (2, 3), address)
    with pytest.raises(OverflowError):
        binding.bind_input("x", "cpu", 0, np.float32, (2, 3), -1)


@pytest.mark.parametrize("array", [[[1, 2, 3]], 3, "text"])
def test_no_arrays(array: Any) -> None:
    assert_same(lambda ort: bound(ort)[1].bind_cpu_input("x", array), text=False)


def test_names_and_arguments() -> None:
    assert_same(lambda ort: bound(ort)[1].bind_cpu_input("q", X))
    assert_same(lambda ort: bound(ort)[1].bind_output("z", "cpu", 0, None, None, 64))
    assert_same(lambda ort: bound(ort)[1].bind_ortvalue_input("q", ort.OrtValue.ortvalue_from_numpy(X)))
    strings = identity("string[2]")
    assert_same(lambda ort: bound(ort, strings)[1].bind_cpu_input("x", np.array(["a", "b"])))


def test_runs_that_fail() -> None:
    def run(ort: ModuleType, *outputs: str, **arrays: Any) -> Any:
        session, binding = bound(ort, **arrays)
        for name in outputs:
            binding.bind_output(name)
        session.run_with_iobinding(binding)

    assert_same(lambda ort: run(ort, x=X, y=X))
    assert_same(lambda ort: run(ort, "nope", x=X, y=X), text=False)
    assert_same(lambda ort: run(ort, "z", x=X), text=False)
    assert_same(lambda ort: run(ort, "z", x=X, y=X[:1]), text=False)
    assert_same(lambda ort: run(ort, "z", x=X, y=X.astype(np.int64)))


@pytest.mark.parametrize(("number", "shape"), [(1, (3, 2)), (1, (3, 3)), (6, (2, 3)), (11, (2, 3)), (1, (6,))])
def test_outputs_of_another_type_or_shape(number: int, shape: tuple[int, ...]) -> None:
    def call(ort: ModuleType) -> Any:
        session, binding = bound(ort, x=X, y=X)
        z = np.zeros(64, np.float64)
        binding.bind_output("z", "cpu", 0, number, shape, z.ctypes.data)
        session.run_with_iobinding(binding)

    assert_same(call)


def test_outputs_of_a_shape_that_is_known_late() -> None:
    session, binding = bound(ort_rs, NEG, x=np.ones(3, np.float32))
    y = np.zeros(4, np.float32)
    binding.bind_output("y", "cpu", 0, 1, (4,), y.ctypes.data)
    with pytest.raises(RuntimeError, match=r"shape verification failed. Current shape:\{3\} Requested shape:\{4\}"):
        session.run_with_iobinding(binding)
    assert not y.any()


def test_values_in_and_out() -> None:
    def call(ort: ModuleType) -> Any:
        session, binding = bound(ort)
        x, z = ort.OrtValue.ortvalue_from_numpy(X.copy()), ort.OrtValue.ortvalue_from_shape_and_type([2, 3], np.float32)
        binding.bind_ortvalue_input("x", x)
        binding.bind_ortvalue_input("y", x)
        binding.bind_ortvalue_output("z", z)
        session.run_with_iobinding(binding)
        seen = [z.numpy().copy(), binding.get_outputs()[0].data_ptr() == z.data_ptr(), len(binding.get_outputs())]
        x.update_inplace(X * 10)
        session.run_with_iobinding(binding)
        return [*seen, z.numpy()]

    assert_same(call)


def test_order_and_rebinding() -> None:
    def call(ort: ModuleType) -> Any:
        session, binding = bound(ort, TWO, x=np.array([1, -2], np.float32))
        for name in ("b", "a", "b"):
            binding.bind_output(name)
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    assert_same(call)


def test_memory_of_the_runtime_is_used_again() -> None:
    def call(ort: ModuleType) -> Any:
        session, binding = bound(ort, NEG, x=np.ones(3, np.float32))
        binding.bind_output("y")
        session.run_with_iobinding(binding)
        first, copy = binding.get_outputs()[0], binding.copy_outputs_to_cpu()[0]
        binding.bind_cpu_input("x", np.full(3, 5, np.float32))
        session.run_with_iobinding(binding)
        return [first.numpy(), copy, first.data_ptr() == binding.get_outputs()[0].data_ptr()]

    assert_same(call)


def test_another_shape_takes_other_memory() -> None:
    """ONNX Runtime fails: it holds on to the first shape."""
    session, binding = bound(ort_rs, NEG, x=np.ones(3, np.float32))
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    first = binding.get_outputs()[0]
    binding.bind_cpu_input("x", np.full(4, 5, np.float32))
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], np.full(4, -5))
    np.testing.assert_array_equal(first.numpy(), np.full(3, -1))


def test_a_result_fed_again() -> None:
    session, binding = bound(ort_rs, NEG, x=np.arange(3, dtype=np.float32))
    binding.bind_output("y")
    for turn in range(4):
        session.run_with_iobinding(binding)
        binding.bind_ortvalue_input("x", binding.get_outputs()[0])
        np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], np.arange(3) * (-1) ** (turn + 1))


def test_an_output_over_an_input() -> None:
    body = model("g (float[3] x, float[3] y) => (float[3] a, float[3] b) { a = Add(x, y) b = Mul(x, y) }")
    session, binding = bound(ort_rs, body, y=np.full(3, 2, np.float32))
    memory = ort_rs.OrtValue.ortvalue_from_numpy(np.arange(3, dtype=np.float32))
    binding.bind_ortvalue_input("x", memory)
    binding.bind_ortvalue_output("a", memory)
    binding.bind_output("b")
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(memory.numpy(), [2, 3, 4])
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[1], [0, 2, 4])


def test_two_outputs_over_one_memory() -> None:
    session, binding = bound(ort_rs, TWO, x=np.array([1, -2], np.float32))
    memory = ort_rs.OrtValue.ortvalue_from_shape_and_type([2], 1)
    binding.bind_ortvalue_output("a", memory)
    binding.bind_ortvalue_output("b", memory)
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(memory.numpy(), [1, 2])


FORMS = {
    "in place of an input": "g (float[4] x) => (float[4] y) { a = Neg(x) b = Relu(a) y = Neg(b) }",
    "a view": "g (float[4] x) => (float[2,2] y) <int64[2] s = {2, 2}> { a = Neg(x) y = Reshape(a, s) }",
    "an input": "g (float[4] x) => (float[4] y) { y = Identity(x) }",
    "a constant": "g (float[4] x) => (float[4] y) <float[4] c = {1, 2, 3, 4}> { y = Identity(c) }",
    "a whole of pieces": "g (float[2] x) => (float[4] y) { a = Neg(x) b = Abs(x) y = Concat <axis = 0> (a, b) }",
    "known late": "g (float[4] x) => (int64[1,k] y) { y = NonZero(x) }",
    "after a late size": "g (float[4] x) => (float y) { i = NonZero(x) j = Cast <to = 1> (i) y = ReduceSum<keepdims=0>(j) }",
}


@pytest.mark.parametrize("case", FORMS)
def test_every_kind_of_result_lands_where_it_is_bound(case: str) -> None:
    body = model(FORMS[case])
    x = np.array([1, -2, 0, 3], np.float32)[: 2 if case == "a whole of pieces" else 4]
    (expected,) = ort_rs.InferenceSession(body).run(None, {"x": x})
    session, binding = bound(ort_rs, body, x=x)
    value = ort_rs.OrtValue.ortvalue_from_numpy(np.zeros_like(expected))
    address = value.data_ptr()
    binding.bind_ortvalue_output("y", value)
    for _ in range(3):
        value.update_inplace(np.zeros_like(expected))
        session.run_with_iobinding(binding)
        np.testing.assert_array_equal(value.numpy(), expected)
    assert binding.get_outputs()[0].data_ptr() == address


def test_read_only_memory_is_no_output() -> None:
    x = X.copy()
    x.setflags(write=False)
    with pytest.raises(RuntimeError, match="read-only"):
        bound(ort_rs)[1].bind_ortvalue_output("z", ort_rs.OrtValue.ortvalue_from_numpy(x))


def test_strings_and_sequences() -> None:
    session, binding = bound(ort_rs, identity("string[2]"))
    words = ort_rs.InferenceSession(identity("string[2]")).run_with_ort_values(None, {"x": _strings()})[0]
    binding.bind_ortvalue_input("x", words)
    binding.bind_output("y")
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], np.array(["a", "b"], object))


def _strings() -> ort_rs.OrtValue:
    constant = model('g () => (string[2] y) { y = Constant <value_strings = ["a", "b"]> () }')
    return ort_rs.InferenceSession(constant).run_with_ort_values(None, {})[0]


def test_clearing() -> None:
    def call(ort: ModuleType) -> Any:
        session, binding = bound(ort, x=X, y=X)
        binding.bind_output("z")
        session.run_with_iobinding(binding)
        binding.clear_binding_outputs()
        seen = [binding.get_outputs(), binding.copy_outputs_to_cpu()]
        binding.clear_binding_inputs()
        return seen

    assert_same(call)


def test_results_that_are_not_there_yet() -> None:
    def call(ort: ModuleType) -> Any:
        _, binding = bound(ort)
        binding.bind_output("z")
        return [value.has_value() for value in binding.get_outputs()]

    assert_same(call)


def test_bindings_belong_to_a_session() -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD).run_with_iobinding(bound(ort)[1]))


def test_arrays_are_kept() -> None:
    session, binding = bound(ort_rs, NEG, x=np.full(1000, 3, np.float32))
    binding.bind_output("y")
    gc.collect()
    session.run_with_iobinding(binding)
    value = binding.get_outputs()[0]
    del session, binding
    gc.collect()
    assert (value.numpy() == -3).all()


def test_native_bindings() -> None:
    theirs = onnxruntime.capi.onnxruntime_pybind11_state
    for ort, module in ((ort_rs, native), (onnxruntime, theirs)):
        session: Any = ort.InferenceSession(ADD)
        binding = module.SessionIOBinding(session._sess)
        device = module.OrtDevice(module.OrtDevice.cpu(), module.OrtDevice.default_memory(), 0)
        z = np.zeros((2, 3), np.float32)
        binding.bind_input("x", X)
        binding.bind_input("y", device, np.float32, [2, 3], X.ctypes.data)
        binding.bind_output("z", device, np.float32, [2, 3], z.ctypes.data)
        session._sess.run_with_iobinding(binding, None)
        np.testing.assert_array_equal(z, X + X)
        assert isinstance(binding.get_outputs(), module.OrtValueVector)
        np.testing.assert_array_equal(binding.get_outputs()[0].numpy(), X + X)
        binding.bind_output("z", device)
        session._sess.run_with_iobinding(binding, ort.RunOptions())
        np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], X + X)


def test_wild_booleans() -> None:
    session, binding = bound(ort_rs, identity("bool[2]"))
    x = np.array([True, False])
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    for pattern in ([7, 0], [0, 9]):
        x.view(np.uint8)[:] = pattern
        session.run_with_iobinding(binding)
        np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], np.array(pattern) > 0)
