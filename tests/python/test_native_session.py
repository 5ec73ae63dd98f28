"""The native session that ONNX Runtime has behind `InferenceSession`, as programs make and use it themselves."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as theirs

import ort_rs
from models import ADD
from ort_rs.capi import onnxruntime_inference_collection
from ort_rs.capi import onnxruntime_pybind11_state as ours
from paired import assert_same

X = np.ones((2, 3), np.float32)


def native(ort: ModuleType) -> Any:
    """The native module of a package."""
    return {"onnxruntime": theirs, "ort_rs": ours}[ort.__name__]


def made(ort: ModuleType, model: Any = ADD, is_path: bool = False) -> Any:
    return native(ort).InferenceSession(native(ort).SessionOptions(), model, is_path, False)


def ready(ort: ModuleType) -> Any:
    session = made(ort)
    session.initialize_session([], [], set())
    return session


def test_a_session_runs_once_it_is_initialized(tmp_path: Path) -> None:
    def early(ort: ModuleType) -> Any:
        return made(ort).run(["z"], {"x": X, "y": X}, None)

    assert_same(early)
    path = tmp_path / "model.onnx"
    path.write_bytes(ADD)

    def late(ort: ModuleType) -> Any:
        session = made(ort, str(path), is_path=True)
        before = session.get_providers()
        session.initialize_session(["CPUExecutionProvider"], [{}], set())
        return before, session.get_providers(), session.get_provider_options(), session.run(["z"], {"x": X, "y": X}, None)

    assert_same(late)


def test_no_output_at_all_is_refused() -> None:
    assert_same(lambda ort: ready(ort).run([], {"x": X, "y": X}, None))


@pytest.mark.parametrize("model", [b"", b"abc", "/no/such/model.onnx"])
def test_models_that_are_none(model: Any) -> None:
    assert_same(lambda ort: made(ort, model, isinstance(model, str)), text=False)


def test_what_a_session_tells() -> None:
    def told(ort: ModuleType) -> Any:
        session = ready(ort)
        ports = [[(a.name, a.type, a.shape) for a in args] for args in (session.inputs_meta, session.outputs_meta)]
        counts = [len(getattr(session, name)) for name in ("input_meminfos", "output_meminfos", "input_epdevices")]
        rest = session.overridable_initializers, session.get_profiling_start_time_ns, session.end_profiling(), session.get_tuning_results()
        webgpu = session.is_webgpu_graph_capture_enabled(), session.webgpu_context_id()
        return ports, counts, rest, webgpu, session.model_meta.graph_name, session.session_options.enable_profiling

    assert_same(told)


def test_values_and_options_of_providers() -> None:
    def zeros(ort: ModuleType) -> Any:
        device = native(ort).OrtDevice(0, 0, 0)
        session = ready(ort)
        a = session.create_ortvalue_from_shape_and_type([2, 3], np.float32, device)
        b = session.create_ortvalue_from_shape_and_onnx_type([4], 7, device)
        return a.shape(), a.data_type(), b.shape(), b.data_type()

    assert_same(zeros)
    assert_same(lambda ort: ready(ort).set_ep_dynamic_options({}), text=False)
    assert_same(lambda ort: ready(ort).set_ep_dynamic_options({"a": "b"}))
    assert_same(lambda ort: ready(ort).set_tuning_results([], True))
    assert_same(lambda ort: ready(ort).release_captured_graph(0))
    assert_same(lambda ort: ready(ort).get_provider_graph_assignment_info(), text=False)


def test_values_in_and_out() -> None:
    def run(ort: ModuleType) -> Any:
        module = native(ort)
        feed = {name: module.OrtValue.ortvalue_from_numpy(X, module.OrtDevice(0, 0, 0)) for name in "xy"}
        return [value.numpy() for value in ready(ort).run_with_ort_values(feed, ["z"], None)]

    assert_same(run)


def test_memory_of_registered_allocators() -> None:
    def make(ort: ModuleType, name: str, element_type: Any) -> Any:
        module = native(ort)
        info = module.OrtMemoryInfo("Cpu", module.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, module.OrtMemType.DEFAULT)
        module.create_and_register_allocator(info, None)
        value = getattr(module.OrtValue, name)([2, 3], element_type, info)
        return value.shape(), value.data_type()

    assert_same(lambda ort: make(ort, "ortvalue_from_shape_and_type_for_memory_info", np.float32))
    assert_same(lambda ort: make(ort, "ortvalue_from_shape_and_onnx_type_for_memory_info", 7))
    assert_same(lambda ort: make(ort, "ortvalue_from_shape_and_onnx_type_for_memory_info", 8), text=False)


def test_a_batch_of_borrowed_tensors() -> None:
    arrays: list[Any] = [np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(4, dtype=np.int64)]

    def push(ort: ModuleType) -> Any:
        module = native(ort)
        values = module.OrtValueVector()
        given = [a.ctypes.data for a in arrays], [a.dtype for a in arrays], [list(a.shape) for a in arrays]
        values.push_back_batch(arrays, *given, [module.OrtDevice(0, 0, 0)] * 2)
        return [value.numpy() for value in values]

    assert_same(push)
    vector = ours.OrtValueVector()
    vector.push_back_batch([arrays[0]], [arrays[0].ctypes.data], [np.float32], [[2, 3]], [ours.OrtDevice(0, 0, 0)])
    vector[0].numpy()[0, 0] = 5
    assert arrays[0][0, 0] == 5
    with pytest.raises(ValueError, match="as many"):
        vector.push_back_batch([arrays[0]], [], [], [], [])


@pytest.mark.parametrize("name", ["OrtSyncStream", "OrtEpContextData", "OrtEpContextDataBuffer", "SessionObjectInitializer"])
def test_what_only_providers_make(name: str) -> None:
    assert_same(lambda ort: getattr(native(ort), name)(), text=False)


def test_data_of_providers() -> None:
    data = ours.OrtEpContextData._over(b"0123456789")
    assert (data.size, data.read(), data.read(2), data.read(2, 3)) == (10, b"0123456789", b"23456789", b"234")
    for offset, length in ((-1, 2), (8, 3), (11, None)):
        with pytest.raises(IndexError):
            data.read(offset, length)
    buffer = ours.OrtEpContextDataBuffer._of(4)
    with pytest.raises(RuntimeError, match="not allocated"):
        buffer.write(b"a")
    with pytest.raises(RuntimeError, match="5 bytes"):
        buffer.allocate(5)
    buffer.allocate(4)
    buffer.write(b"ab", 2)
    assert (buffer.size, buffer.max_size, buffer.is_allocated, bytes(buffer._data or b"")) == (4, 4, True, b"\0\0ab")
    with pytest.raises(IndexError):
        buffer.write(b"abc", 2)


def test_strategies_of_arenas() -> None:
    def told(ort: ModuleType) -> Any:
        module = native(ort)
        strategy = module.ArenaExtendStrategy
        return str(strategy(1)), int(module.kSameAsRequested), strategy.kNextPowerOfTwo.name, sorted(strategy.__members__)

    assert_same(told)


def test_one_session_is_the_other() -> None:
    collection = "capi.onnxruntime_inference_collection"
    for package in (onnxruntime, ort_rs):
        base = __import__(f"{package.__name__}.{collection}", fromlist=["Session"]).Session
        session = package.InferenceSession(ADD, providers=["CPUExecutionProvider"])
        assert isinstance(session, base)
        assert isinstance(session._sess, native(package).InferenceSession)
    with pytest.raises(ort_rs.capi.onnxruntime_pybind11_state.NoModel):
        onnxruntime_inference_collection.Session().get_inputs()


def test_operators_are_described() -> None:
    schemas = {(s.domain, s.name, s.since_version): s for s in theirs.get_all_operator_schema()}
    described = {(s.domain, s.name, s.since_version): s for s in ours.get_all_operator_schema()}
    common = schemas.keys() & described.keys()
    assert len(common) > 450
    for key in common:
        a, b = described[key], schemas[key]
        if not a.deprecated:
            assert [p.name for p in a.inputs][:1] == [p.name for p in b.inputs][:1] or key[0] == "com.microsoft", key
    gather, reference = described["", "Gather", 13], schemas["", "Gather", 13]
    assert (gather.min_input, gather.max_input, gather.min_output, gather.max_output) == (2, 2, 1, 1)
    assert gather.inputs[0].types == reference.inputs[0].types
    assert {name: (int(a.type), a.required) for name, a in gather.attributes.items()} == {"axis": (2, False)}
    concat = described["", "Concat", 13]
    assert concat.is_infinite(concat.max_input)
    assert concat.attributes["axis"].required
    kernels = {(k.domain, k.op_name, k.version_range[0]): k for k in ours.get_all_opkernel_def()}
    assert kernels["", "Gather", 13].type_constraints["Tind"] == ["tensor(int32)", "tensor(int64)"]
    assert len(ours.get_registered_ep_kernel_defs("CPUExecutionProvider")) == len(kernels)
    assert_same(lambda ort: native(ort).get_registered_ep_kernel_defs("x"))
