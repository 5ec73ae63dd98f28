"""What a session does besides `run`."""

import gc
import threading
import time
import weakref
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import ort_rs
from models import ADD, model
from ort_rs.capi import onnxruntime_pybind11_state as native
from paired import assert_same

X = np.ones((2, 3), np.float32)
ENDLESS = model(
    """g (int64 n, float[2] x) => (float[2] y) {
        c = Constant <value = bool {1}> ()
        y = Loop (n, c, x) <body = b (int64 i, bool ok, float[2] v) => (bool go, float[2] w) { go = Identity(ok) w = Neg(v) }>
    }"""
)


def threads(ort: ModuleType, count: int = 2, **entries: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = count
    for key, value in entries.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    return options


class Seen:
    """What a callback was called with."""

    def __init__(self) -> None:
        self.arguments: tuple[Any, ...] = ()
        self.event = threading.Event()

    def __call__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.event.set()

    def wait(self) -> tuple[Any, ...]:
        assert self.event.wait(60)
        return self.arguments


def test_async() -> None:
    token = object()

    def call(ort: ModuleType) -> Any:
        seen = Seen()
        session = ort.InferenceSession(ADD, threads(ort))
        session.run_async(["z"], {"x": X, "y": X}, seen, token)
        results, data, error = seen.wait()
        return [results, data is token, error]

    assert_same(call)


FAILURES: dict[str, Any] = {
    "missing": (["z"], {"x": X}),
    "unknown feed": (["z"], {"x": X, "y": X, "q": X}),
    "wrong object": (["z"], {"x": X, "y": object()}),
}


@pytest.mark.parametrize("case", FAILURES)
def test_async_runs_that_do_not_begin(case: str) -> None:
    names, feeds = FAILURES[case]
    if case == "unknown feed":  # ONNX Runtime tells the callback.
        with pytest.raises(native.InvalidArgument):
            ort_rs.InferenceSession(ADD).run_async(names, feeds, Seen(), None)
        return
    assert_same(lambda ort: ort.InferenceSession(ADD, threads(ort)).run_async(names, feeds, Seen(), None), text=case == "missing")


def test_async_needs_threads_and_a_callback() -> None:
    assert_same(lambda ort: ort.InferenceSession(ADD, threads(ort, 1)).run_async(None, {"x": X, "y": X}, Seen(), None))
    assert_same(lambda ort: ort.InferenceSession(ADD, threads(ort)).run_async(None, {"x": X, "y": X}, 3, None), text=False)


@pytest.mark.parametrize("feeds", [{"x": X, "y": X.astype(np.int64)}, {"x": X, "y": X[:1]}])
def test_async_runs_that_fail(feeds: dict[str, Any]) -> None:
    def call(ort: ModuleType) -> Any:
        seen = Seen()
        session = ort.InferenceSession(ADD, threads(ort))
        session.run_async(["z"], feeds, seen, None)
        return list(seen.wait())

    assert_same(call)


def test_async_keeps_what_it_needs_and_no_longer() -> None:
    seen = Seen()
    x = np.full((2, 3), 3, np.float32)
    alive = weakref.ref(x)
    ort_rs.InferenceSession(ADD, threads(ort_rs)).run_async(None, {"x": x, "y": x}, seen, None, ort_rs.RunOptions())
    del x
    gc.collect()
    np.testing.assert_array_equal(seen.wait()[0][0], np.full((2, 3), 6))
    deadline = time.monotonic() + 20
    while alive() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive() is None


def test_many_async_runs() -> None:
    session = ort_rs.InferenceSession(ADD, threads(ort_rs))
    all_seen = [Seen() for _ in range(50)]
    for i, seen in enumerate(all_seen):
        session.run_async(None, {"x": X * i, "y": X}, seen, i)
    for i, seen in enumerate(all_seen):
        results, data, error = seen.wait()
        assert (data, error) == (i, "")
        np.testing.assert_array_equal(results[0], X * i + X)


def test_terminate_an_async_run() -> None:
    session = ort_rs.InferenceSession(ENDLESS, threads(ort_rs))
    options, seen = ort_rs.RunOptions(), Seen()
    session.run_async(None, {"n": np.array(2**62), "x": np.ones(2, np.float32)}, seen, None, options)
    assert not seen.event.wait(0.05)
    options.terminate = True
    assert "terminate flag" in seen.wait()[2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_callback_that_raises() -> None:
    event = threading.Event()

    def callback(*_: Any) -> None:
        event.set()
        raise ZeroDivisionError

    session = ort_rs.InferenceSession(ADD, threads(ort_rs))
    session.run_async(None, {"x": X, "y": X}, callback, None)
    assert event.wait(60)
    time.sleep(0.05)
    session.run(None, {"x": X, "y": X})


def values(ort: ModuleType, **arrays: Any) -> dict[str, Any]:
    return {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}


def test_values_by_name() -> None:
    def call(ort: ModuleType) -> Any:
        outputs = ort.InferenceSession(ADD).run_with_ort_values(["z"], values(ort, x=X, y=X), ort.RunOptions())
        return [[isinstance(v, ort.OrtValue), v.numpy()] for v in outputs]

    assert_same(call)
    assert_same(lambda ort: ort.InferenceSession(ADD).run_with_ort_values(None, values(ort, x=X)))
    assert_same(lambda ort: ort.InferenceSession(ADD).run_with_ort_values(None, {"x": X, "y": X}), text=False)
    assert_same(lambda ort: ort.InferenceSession(ADD).run_with_ort_values(["n"], values(ort, x=X, y=X)))
    assert_same(lambda ort: ort.InferenceSession(ADD).run_with_ort_values(None, values(ort, x=X, y=X, q=X)))


def test_values_of_results_are_their_own() -> None:
    body = model("g (float[2,3] x) => (float[2,3] y, float[2] k) <float[2] c = {1, 2}> { y = Identity(x) k = Identity(c) }")
    session = ort_rs.InferenceSession(body)
    feeds = values(ort_rs, x=X.copy())
    first, constant = session.run_with_ort_values(None, feeds)
    first.update_inplace(X * 9)
    constant.update_inplace(np.zeros(2, np.float32))
    np.testing.assert_array_equal(feeds["x"].numpy(), X)
    np.testing.assert_array_equal(session.run(["k"], {"x": X})[0], [1, 2])


def test_optional_results() -> None:
    body = model("g (optional(float[2]) x) => (optional(float[2]) y) { y = Identity(x) }")
    session = ort_rs.InferenceSession(body)
    (nothing,) = session.run_with_ort_values(None, {})
    assert not nothing.has_value()
    (something,) = session.run_with_ort_values(None, values(ort_rs, x=np.ones(2, np.float32)))
    assert something.has_value()
    assert something.is_tensor()


def test_sequences_as_values() -> None:
    body = model("g (float[4] x) => (seq(float[2]) y) { s = Constant <value = int64 {2}> () y = SplitToSequence <axis = 0> (x, s) }")

    def call(ort: ModuleType) -> Any:
        (value,) = ort.InferenceSession(body).run_with_ort_values(None, values(ort, x=np.arange(4, dtype=np.float32)))
        return [value.is_tensor_sequence(), value.is_tensor(), value.data_type(), value.element_type(), value.has_value()]

    assert_same(call)


def test_vectors() -> None:
    theirs = onnxruntime.capi.onnxruntime_pybind11_state
    for ort, module in ((ort_rs, native), (onnxruntime, theirs)):
        session: Any = ort.InferenceSession(ADD)
        feeds, fetches = module.OrtValueVector(), module.OrtValueVector()
        for _ in range(2):
            feeds.push_back(module.OrtValue.ortvalue_from_numpy(X, module.OrtDevice(0, 0, 0)))
        devices = [module.OrtDevice(0, 0, 0)]
        options = ort.RunOptions()
        session.run_with_ortvaluevector(options, ["x", "y"], feeds, ["z"], fetches, devices)
        np.testing.assert_array_equal(fetches[0].numpy(), X + X)
        with pytest.raises(module.InvalidArgument, match=r"feed names has 1 elements, but feed has 2 elements\."):
            session.run_with_ortvaluevector(options, ["x"], feeds, ["z"], fetches, devices)
        with pytest.raises(TypeError):
            session.run_with_ortvaluevector(None, ["x", "y"], feeds, ["z"], fetches, devices)


def test_the_native_session() -> None:
    def call(ort: ModuleType) -> Any:
        session = ort.InferenceSession(ADD)
        core, feeds = session._sess, {"x": X, "y": X}
        outputs = core.run_with_ort_values({k: v._get_c_value() for k, v in values(ort, **feeds).items()}, ["z"], ort.RunOptions())
        described = [[a.name for a in core.inputs_meta], [a.name for a in core.outputs_meta], core.get_providers()[-1:]]
        return [type(outputs).__name__, outputs[0].numpy(), core.run(["z"], feeds, None), described]

    assert_same(call)


def test_memory_and_devices() -> None:
    def call(ort: ModuleType) -> Any:
        session = ort.InferenceSession(ADD)
        infos = [*session.get_input_memory_infos(), *session.get_output_memory_infos()]
        return [[i.name, i.device_id, int(i.mem_type), int(i.allocator_type)] for i in infos]

    assert_same(call)
    assert len(ort_rs.InferenceSession(ADD).get_input_epdevices()) == 2


def test_assignment() -> None:
    body = model("g (float[2] x) => (float[2] y) { a = Exp(x) b = Sin(a) y = Neg(b) }")
    proto = onnx.ModelProto.FromString(body)
    for i, node in enumerate(proto.graph.node):
        node.name = f"node_{i}"

    def call(ort: ModuleType) -> Any:
        options = threads(ort, session__record_ep_graph_assignment_info="1")
        session = ort.InferenceSession(proto.SerializeToString(), options)
        info = session.get_provider_graph_assignment_info()
        return [[s.ep_name, [[n.name, n.domain, n.op_type] for n in s.get_nodes()]] for s in info]

    assert_same(call)
    with pytest.raises(native.Fail, match=r'session\.record_ep_graph_assignment_info\' must be set to "1"'):
        ort_rs.InferenceSession(ADD).get_provider_graph_assignment_info()


def test_providers_are_set() -> None:
    def call(ort: ModuleType) -> Any:
        session = ort.InferenceSession(ADD)
        session.set_providers(["CPUExecutionProvider"])
        session.set_providers()
        return [session.run(None, {"x": X, "y": X}), session.get_providers()]

    assert_same(call)

    def unknown(ort: ModuleType) -> Any:
        with pytest.warns(UserWarning, match="InvalidProvider"):
            ort.InferenceSession(ADD).set_providers(["InvalidProvider"])

    assert_same(unknown)


def test_a_session_survives_providers_that_cannot_be_set() -> None:
    """ONNX Runtime leaves an empty one."""
    session = ort_rs.InferenceSession(ADD)
    with pytest.warns(UserWarning, match="InvalidProvider"), pytest.raises(RuntimeError):
        session.set_providers(["InvalidProvider"])
    session.run(None, {"x": X, "y": X})
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        session.set_providers(["CUDAExecutionProvider"])
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_bindings_end_with_the_model_they_were_made_for() -> None:
    session = ort_rs.InferenceSession(ADD)
    binding = session.io_binding()
    session.set_providers(["CPUExecutionProvider"])
    with pytest.raises(ValueError, match="session that created it"):
        session.run_with_iobinding(binding)


def test_tuning() -> None:
    result = {"ep": "CPUExecutionProvider", "results": {}, "validators": {}}
    assert_same(lambda ort: ort.InferenceSession(ADD).get_tuning_results())
    assert_same(lambda ort: ort.InferenceSession(ADD).set_tuning_results([result]))
    assert_same(lambda ort: ort.InferenceSession(ADD).set_tuning_results([result], error_on_invalid=True), text=False)
    assert_same(lambda ort: ort.InferenceSession(ADD).set_tuning_results([{"ep": "x"}], error_on_invalid=True))
    assert_same(lambda ort: ort.InferenceSession(ADD).set_tuning_results(3), text=False)


def test_calls_that_do_nothing_on_a_cpu() -> None:
    def call(ort: ModuleType) -> Any:
        session = ort.InferenceSession(ADD)
        session.enable_fallback()
        session.disable_fallback()
        session.release_captured_graph()
        session.release_captured_graph(3)
        session.set_ep_dynamic_options({"a": "b"})
        return session.create_ortvalue_from_shape_and_type([2], np.float32, "cpu").data_type()

    assert_same(call)
    assert_same(lambda ort: ort.InferenceSession(ADD).set_ep_dynamic_options({}), text=False)
    assert_same(lambda ort: ort.InferenceSession(ADD).create_ortvalue_from_shape_and_type([2], 1, "cuda"), text=False)
