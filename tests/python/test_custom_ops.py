"""Operators that are functions of Python."""

import gc
import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx.parser
import pytest

import ort_rs
from models import model
from ort_rs.capi.onnxruntime_pybind11_state import Fail, InvalidGraph

X = np.array([1, 2, 3], np.float32)


def using(body: str, opset: int = 20) -> bytes:
    text = f'<ir_version: 9, opset_import: ["" : {opset}, "my.domain" : 1]> {body}'
    encoded: bytes = onnx.parser.parse_model(text).SerializeToString()
    return encoded


@ort_rs.custom_op("my.domain::Scale", "x:T, k:T? -> y:T", types={"T": ["float", "double"]}, infer=lambda x, _, **__: x.shape)
def scale(x: Any, k: Any, *, alpha: float = 1.0, shift: float = 0.0) -> Any:
    return (x * alpha if k is None else x * k) + x.dtype.type(shift)


@ort_rs.custom_op("my.domain::Halves", "x:T -> low:T, high:T, where:int64")
def halves(x: Any) -> Any:
    middle = len(x) // 2
    return x[:middle], x[middle:], middle


def session_of(body: str, *ops: ort_rs.CustomOp) -> ort_rs.InferenceSession:
    options = ort_rs.SessionOptions()
    for op in ops:
        options.register_custom_op(op)
    return ort_rs.InferenceSession(using(body), options)


def test_a_function_runs_among_operators() -> None:
    body = "g (float[n] x) => (float[n] y) { a = Neg(x) b = my.domain.Scale <alpha = 2.0, shift = 1.0> (a) y = Abs(b) }"
    (y,) = ort_rs.InferenceSession(using(body)).run(None, {"x": X})
    np.testing.assert_array_equal(y, np.abs(1 - 2 * X))


def test_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "scale.onnx"
    path.write_bytes(using("g (double[n] x, double[n] k) => (double[n] y) { y = my.domain.Scale(x, k) }"))
    session = ort_rs.InferenceSession(path)
    assert session.get_outputs()[0].shape == ["n"]
    x = X.astype(np.float64)
    np.testing.assert_array_equal(session.run(None, {"x": x, "k": x})[0], x * x)


def test_it_can_still_be_called() -> None:
    np.testing.assert_array_equal(scale(X, None, alpha=3.0), 3 * X)
    assert scale.name == "my.domain::Scale"
    assert repr(scale.__reduce__()) == "'scale'"


def test_several_outputs_of_sizes_that_depend_on_data() -> None:
    body = "g (float[n] x) => (float[a] low, float[b] y, int64 w) { low, high, w = my.domain.Halves(x) y = Neg(high) }"
    session = ort_rs.InferenceSession(using(body))
    for size in (2, 5):
        x = np.arange(size, dtype=np.float32)
        low, y, where = session.run(None, {"x": x})
        np.testing.assert_array_equal(low, x[: size // 2])
        np.testing.assert_array_equal(y, -x[size // 2 :])
        assert where == size // 2


def test_text_and_lists_as_attributes() -> None:
    @ort_rs.custom_op("my.domain::Join", "words:string -> line:string", register=False)
    def join(words: Any, *, between: str, order: list[int], weights: list[float], names: list[str], tensor: Any) -> Any:
        assert (weights, names, tensor.tolist()) == ([0.5], ["u", "v"], [1, 2])
        return np.array(between.join(words[order]), dtype=object)

    body = """g (string[n] x) => (string y) {
        y = my.domain.Join <between = "-", order = [2, 0], weights = [0.5], names = ["u", "v"], tensor = int64[2] {1, 2}> (x) }"""
    (y,) = session_of(body, join).run(None, {"x": np.array(["a", "b", "c"], dtype=object)})
    assert y == "c-a"


def test_attributes_are_checked() -> None:
    with pytest.raises(InvalidGraph, match=r"Unrecognized attribute: beta for operator Scale"):
        ort_rs.InferenceSession(using("g (float[n] x) => (float[n] y) { y = my.domain.Scale <beta = 1.0> (x) }"))

    @ort_rs.custom_op("my.domain::Needs", "x:T -> y:T", register=False)
    def needs(x: Any, *, size: int) -> Any:
        return x + size

    with pytest.raises(InvalidGraph, match="Required attribute 'size' is missing"):
        session_of("g (float[n] x) => (float[n] y) { y = my.domain.Needs(x) }", needs)


def test_types_are_checked() -> None:
    with pytest.raises((Fail, InvalidGraph), match="int64"):
        ort_rs.InferenceSession(using("g (int64[n] x) => (int64[n] y) { y = my.domain.Scale(x) }"))


def test_an_exception_comes_through() -> None:
    @ort_rs.custom_op("my.domain::Fails", "x:T -> y:T", register=False)
    def fails(x: Any) -> Any:
        raise LookupError(f"nothing like it in {len(x)}")

    session = session_of("g (float[n] x) => (float[n] y) { a = Neg(x) [the_node] y = my.domain.Fails(a) }", fails)
    for run in (session.run, lambda _, feeds: session.run_with_ort_values(None, values(feeds))):
        with pytest.raises(Fail, match=r"Fails node.*the_node.*LookupError: nothing like it in 3") as caught:
            run(None, {"x": X})
        assert isinstance(caught.value.__cause__, LookupError)
        assert "in fails" in "".join(traceback.format_exception(caught.value))


def values(feeds: dict[str, Any]) -> dict[str, ort_rs.OrtValue]:
    return {name: ort_rs.OrtValue.ortvalue_from_numpy(value) for name, value in feeds.items()}


def test_an_interrupt_is_none_of_its_errors() -> None:
    @ort_rs.custom_op("my.domain::Stops", "x:T -> y:T", register=False)
    def stops(x: Any) -> Any:
        raise KeyboardInterrupt(x)

    with pytest.raises(KeyboardInterrupt):
        session_of("g (float[n] x) => (float[n] y) { y = my.domain.Stops(x) }", stops).run(None, {"x": X})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (lambda x: x.astype(np.float64), r"tensor\(double\) for output 0, which is tensor\(float\)"),
        (lambda x: (x, x), "gave 2 values for 1 outputs"),
        (lambda _: object(), "float"),
    ],
)
def test_results_are_checked(result: Any, text: str) -> None:
    op = ort_rs.custom_op("my.domain::Odd", "x:T -> y:T", register=False)(lambda x: result(x))
    with pytest.raises(Fail, match=text):
        session_of("g (float[n] x) => (float[n] y) { y = my.domain.Odd(x) }", op).run(None, {"x": X})


def test_plain_numbers_and_lists_are_taken() -> None:
    op = ort_rs.custom_op("my.domain::Plain", "x:T -> y:T, z:int64", register=False)(lambda x: (float(x.sum()), [1, 2]))
    y, z = session_of("g (float[n] x) => (float y, int64[m] z) { y, z = my.domain.Plain(x) }", op).run(None, {"x": X})
    assert (y.dtype, y.shape, float(y)) == (np.float32, (), 6)
    assert (z.dtype, z.tolist()) == (np.int64, [1, 2])


def test_inputs_are_lent_read_only() -> None:
    seen: list[Any] = []

    @ort_rs.custom_op("my.domain::Keeps", "x:T -> y:T", register=False)
    def keeps(x: Any) -> Any:
        assert not x.flags.writeable
        seen.append(x)
        return x

    session = session_of("g (float[n] x) => (float[n] y) { a = Neg(x) b = my.domain.Keeps(a) y = Neg(b) }", keeps)
    (y,) = session.run(None, {"x": X})
    np.testing.assert_array_equal(y, X)
    del session
    gc.collect()
    np.testing.assert_array_equal(seen[0], -X)


def test_shapes_are_told_ahead() -> None:
    told: list[Any] = []

    def infer(x: ort_rs.TensorInfo, *, times: int) -> Any:
        told.append(x)
        return (*x.shape, times) if x.shape is not None else None

    @ort_rs.custom_op("my.domain::Stack", "x:T -> y:T", infer=infer, register=False)
    def stack(x: Any, *, times: int) -> Any:
        return np.stack([x] * times, axis=-1)

    session = session_of("g (float[n,2] x) => (float[p,q,r] y) { a = my.domain.Stack <times = 3> (x) y = Neg(a) }", stack)
    assert told[0] == (np.dtype(np.float32), ("n", 2))
    explained = next(n for n in session.explain().nodes if n.op.startswith("my.domain"))
    assert explained.outputs == ["a: tensor(float)[n,2,3]"]
    assert explained.kernel == "python"
    x = np.ones((4, 2), np.float32)
    assert session.run(None, {"x": x})[0].shape == (4, 2, 3)


def test_a_shape_that_was_told_wrong() -> None:
    op = ort_rs.custom_op("my.domain::Liar", "x:T -> y:T", infer=lambda x: x.shape, register=False)(lambda x: x[1:])
    with pytest.raises(Exception, match="Liar"):
        session_of("g (float[n] x) => (float[n] y) { y = my.domain.Liar(x) }", op).run(None, {"x": X})


def test_a_failing_infer_names_the_node() -> None:
    def infer(x: ort_rs.TensorInfo) -> Any:
        raise ZeroDivisionError(f"no shape of {x.shape}")

    op = ort_rs.custom_op("my.domain::Shapeless", "x:T -> y:T", infer=infer, register=False)(lambda x: x)
    with pytest.raises(Fail, match=r"Shapeless.*ZeroDivisionError: no shape of") as caught:
        session_of("g (float[n] x) => (float[n] y) { y = my.domain.Shapeless(x) }", op)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_unknown_operator_is_named_with_a_hint() -> None:
    with pytest.raises((Fail, InvalidGraph), match=r"Nowhere.*ort_rs\.custom_op"):
        ort_rs.InferenceSession(using("g (float[n] x) => (float[n] y) { y = my.domain.Nowhere(x) }"))
    with pytest.raises(Fail, match=r"Nowhere.*ort_rs\.custom_op"):
        ort_rs.InferenceSession(elsewhere())


def elsewhere() -> bytes:
    text = '<ir_version: 9, opset_import: ["" : 20, "no.domain" : 1]> g (float[n] x) => (float[n] y) { y = no.domain.Nowhere(x) }'
    encoded: bytes = onnx.parser.parse_model(text).SerializeToString()
    return encoded


def test_libraries_point_here(tmp_path: Any) -> None:
    library = tmp_path / "ops.so"
    library.write_bytes(b"")
    with pytest.raises(Fail, match=r"ort_rs\.custom_op"):
        ort_rs.SessionOptions().register_custom_ops_library(str(library))


def test_options_go_before_the_process() -> None:
    mine = ort_rs.custom_op("my.domain::Scale", "x:T, k:T? -> y:T", register=False)(lambda x, _: -x)
    body = "g (float[n] x) => (float[n] y) { y = my.domain.Scale(x) }"
    np.testing.assert_array_equal(session_of(body, mine).run(None, {"x": X})[0], -X)
    np.testing.assert_array_equal(session_of(body).run(None, {"x": X})[0], X)


def test_a_name_that_is_taken() -> None:
    with pytest.raises(Fail, match="registered twice"):
        ort_rs.custom_op("com.microsoft::Gelu", "x:T -> y:T")(lambda x: x)


@pytest.mark.parametrize(
    ("name", "signature", "function", "kind"),
    [
        ("Scale", "x:T -> y:T", lambda x: x, ValueError),
        ("my.domain::", "x:T -> y:T", lambda x: x, ValueError),
        ("my.domain::A", "x:T", lambda x: x, ValueError),
        ("my.domain::A", "x -> y", lambda x: x, ValueError),
        ("my.domain::A", "x:T -> y:U", lambda x: x, ValueError),
        ("my.domain::A", "x:T, z:T -> y:T", lambda x: x, TypeError),
        ("my.domain::A", "x:T* -> y:T", lambda x: x, TypeError),
    ],
)
def test_what_is_no_operator(name: str, signature: str, function: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        ort_rs.custom_op(name, signature, register=False)(function)


def test_any_number_of_inputs() -> None:
    op = ort_rs.custom_op("my.domain::Sum", "x:T* -> y:T", register=False)(lambda *xs: sum(xs[1:], xs[0]))
    (y,) = session_of("g (float[n] x) => (float[n] y) { y = my.domain.Sum(x, x, x) }", op).run(None, {"x": X})
    np.testing.assert_array_equal(y, 3 * X)


@pytest.mark.parametrize("pure", [False, True])
def test_constants_are_folded_if_that_is_allowed(pure: bool) -> None:
    calls: list[Any] = []

    def twice(x: Any) -> Any:
        calls.append(x)
        return 2 * x

    op = ort_rs.custom_op("my.domain::Twice", "x:T -> y:T", pure=pure, register=False)(twice)
    session = session_of("g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { a = my.domain.Twice(w) y = Add(x, a) }", op)
    assert bool(calls) == pure
    np.testing.assert_array_equal(session.run(None, {"x": np.ones(2, np.float32)})[0], [3, 5])


def test_from_many_threads_and_in_parallel() -> None:
    body = "g (float[n] x) => (float[n] y) { a = my.domain.Scale <alpha = 2.0> (x) b = my.domain.Scale <alpha = 3.0> (x) y = Add(a, b) }"
    options = ort_rs.SessionOptions()
    options.execution_mode = ort_rs.ExecutionMode.ORT_PARALLEL
    session = ort_rs.InferenceSession(using(body), options)
    x = np.ones(20_000, np.float32)
    with ThreadPoolExecutor(4) as pool:
        for (y,) in pool.map(lambda i: session.run(None, {"x": i * x}), range(1, 40)):
            np.testing.assert_array_equal(y, 5 * y[0] / 5 * x)


def test_a_model_within_a_model() -> None:
    inner = ort_rs.InferenceSession(model("g (float[n] x) => (float[n] y) { y = Neg(x) }"))
    op = ort_rs.custom_op("my.domain::Inner", "x:T -> y:T", register=False)(lambda x: inner.run(None, {"x": x})[0])
    session = session_of("g (float[n] x) => (float[n] y) { y = my.domain.Inner(x) }", op)
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], -X)
    thread = threading.Thread(target=lambda: session.run(None, {"x": X}))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@ort_rs.custom_op("my.domain::Carried", "x:T -> y:T", register=False)
def carried(x: Any) -> Any:
    return x + 1


def test_sessions_with_operators_are_pickled_by_reference() -> None:
    session = session_of("g (float[n] x) => (float[n] y) { y = my.domain.Carried(x) }", carried)
    assert pickle.loads(pickle.dumps(carried)) is carried
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(session)).run(None, {"x": X})[0], X + 1)
