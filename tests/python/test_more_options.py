"""Options that change what a model is made of, how it runs, and what is written about it."""

import gc
import json
import threading
import time
from pathlib import Path
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
WEIGHT = "g (float[2,3] x) => (float[2,3] y) <float[2,3] w = {1, 2, 3, 4, 5, 6}> { y = Add(x, w) }"


def value(ort: ModuleType, array: Any) -> Any:
    return ort.OrtValue.ortvalue_from_numpy(array)


def run(ort: ModuleType, body: Any, options: Any, **feeds: Any) -> Any:
    return ort.InferenceSession(body, options).run(None, feeds)


def external(folder: Path, name: str = "w.bin", keep: bool = False) -> Path:
    """A model whose weight lies in another file, which is not there unless it is kept."""
    proto = onnx.ModelProto.FromString(model(WEIGHT))
    weight = proto.graph.initializer[0]
    # What the parser writes is no raw data, which alone can leave the file.
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight), weight.name))
    onnx.external_data_helper.convert_model_to_external_data(proto, location=name, size_threshold=0)
    path = folder / "model.onnx"
    onnx.save(proto, path)
    if not keep:
        (folder / name).unlink()
    return path


@pytest.mark.parametrize("name", ["w", "nobody"])
def test_initializers_are_replaced(name: str) -> None:
    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        # ONNX Runtime needs the value kept, and the array behind it.
        array = X * 10
        kept = value(ort, array)
        options.add_initializer(name, kept)
        return run(ort, model(WEIGHT), options, x=X)

    assert_same(call)
    assert_same(lambda ort: ort.SessionOptions().add_initializer("w", 3), text=False)


def test_given_initializers_are_kept() -> None:
    options = ort_rs.SessionOptions()
    options.add_initializer("w", value(ort_rs, X * 10))
    session = ort_rs.InferenceSession(model(WEIGHT), options)
    del options
    gc.collect()
    np.testing.assert_array_equal(session.run(None, {"x": X})[0], X * 11)


def test_initializers_must_fit() -> None:
    options = ort_rs.SessionOptions()
    options.add_initializer("w", value(ort_rs, np.ones(3, np.float32)))
    with pytest.raises(native.InvalidArgument, match=r"initializer 'w' is float\{2,3\}, but float\{3\} is given"):
        ort_rs.InferenceSession(model(WEIGHT), options)


@pytest.mark.parametrize("name", ["w", "nobody"])
def test_external_initializers(tmp_path: Path, name: str) -> None:
    path = external(tmp_path, keep=name == "nobody")

    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        array = X * 10
        kept = value(ort, array)
        options.add_external_initializers([name], [kept])
        return run(ort, path, options, x=X)

    assert_same(call, text=False)


def test_external_initializers_that_make_no_sense(tmp_path: Path) -> None:
    assert_same(lambda ort: ort.SessionOptions().add_external_initializers(["a"], []), text=False)
    assert_same(lambda ort: ort.InferenceSession(external(tmp_path)), text=False)
    with pytest.raises(RuntimeError):
        ort_rs.SessionOptions().add_external_initializers(["a"], [3])  # type: ignore[list-item]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_files_in_memory(tmp_path: Path, kind: type) -> None:
    path = external(tmp_path, keep=True)
    content = kind((tmp_path / "w.bin").read_bytes())
    (tmp_path / "w.bin").unlink()

    def call(ort: ModuleType, source: Any) -> Any:
        options = ort.SessionOptions()
        options.add_external_initializers_from_files_in_memory(["w.bin"], [content], [len(content)])
        return run(ort, source, options, x=X)

    assert_same(lambda ort: call(ort, path))
    assert_same(lambda ort: call(ort, path.read_bytes()))


FILES: dict[str, Any] = {
    "twice": (["a", "a"], [b"abc", b"abc"], [3, 3]),
    "lists that differ": (["a"], [], [3]),
    "text": (["a"], ["abc"], [3]),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_make_no_sense(case: str) -> None:
    assert_same(lambda ort: ort.SessionOptions().add_external_initializers_from_files_in_memory(*FILES[case]), text=False)


def test_files_are_as_long_as_said() -> None:
    """ONNX Runtime reads past the end."""
    with pytest.raises(RuntimeError, match="3 bytes has not got 5"):
        ort_rs.SessionOptions().add_external_initializers_from_files_in_memory(["a"], [b"abc"], [5])


def test_external_data_of_a_model_in_memory(tmp_path: Path) -> None:
    body = external(tmp_path, keep=True).read_bytes()

    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(tmp_path))
        return run(ort, body, options, x=X)

    assert_same(call)


def test_sizes_by_denotation() -> None:
    proto = onnx.ModelProto.FromString(model("g (float[a,b] x) => (float[a,b] y) { y = Neg(x) }"))
    proto.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"

    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.add_free_dimension_override_by_denotation("DATA_BATCH", 2)
        session = ort.InferenceSession(proto.SerializeToString(), options)
        return [[a.shape for a in session.get_inputs()], session.run(None, {"x": X})]

    assert_same(call)


@pytest.mark.parametrize(("limit", "apart"), [("10", True), ("100", False)])
def test_saved_initializers_apart(tmp_path: Path, limit: str, apart: bool) -> None:
    for ort in (ort_rs,):
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "saved.onnx")
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "saved.bin")
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", limit)
        ort.InferenceSession(model(WEIGHT), options)
        assert (tmp_path / "saved.bin").is_file() == apart
    onnx.checker.check_model(str(tmp_path / "saved.onnx"))
    assert_same(lambda ort: run(ort, tmp_path / "saved.onnx", None, x=X))


BRANCHES = model(
    """g (float[n,64] x) => (float[n,64] y, float[n,64] z) {
        a = Exp(x) b = Sin(x) c = Neg(x) d = Abs(x)
        e = Mul(a, b) f = Mul(c, d) g1 = Softmax(e) h = Relu(f)
        y = Add(g1, h) z = Sub(g1, h)
    }"""
)


@pytest.mark.parametrize("rows", [0, 1, 7, 600])
@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_ALL"])
def test_parallel_execution(rows: int, level: str) -> None:
    x = np.random.default_rng(3).standard_normal((rows, 64), np.float32)

    def made(parallel: bool, inter: int = 0) -> Any:
        options = ort_rs.SessionOptions()
        options.execution_mode = ort_rs.ExecutionMode.ORT_PARALLEL if parallel else ort_rs.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = getattr(ort_rs.GraphOptimizationLevel, level)
        options.intra_op_num_threads, options.inter_op_num_threads = 4, inter
        return ort_rs.InferenceSession(BRANCHES, options)

    expected = made(False).run(None, {"x": x})
    session = made(True)
    for _ in range(20):
        for ours, theirs in zip(session.run(None, {"x": x}), expected, strict=True):
            assert ours.tobytes() == theirs.tobytes()
    assert made(True, 1).run(["z"], {"x": x})[0].tobytes() == expected[1].tobytes()
    assert session.run(["e"], {"x": x})[0].shape == x.shape


def test_parallel_runs_of_sizes_that_are_known_late() -> None:
    body = model(
        """g (float[n] x) => (float[k] y, int64[1,m] i, string[2] s) {
            i = NonZero(x) a = Abs(x) j = Squeeze(i) t = Constant <value_strings = ["a", "b"]> () s = Identity(t)
            y = Gather(a, j)
        }"""
    )
    x = np.array([0, -1, 2, 0, 3], np.float32)

    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
        return run(ort, body, options, x=x)

    assert_same(call)


def test_a_parallel_run_is_cancelled() -> None:
    loop = "Loop (n, c, x) <body = b (int64 i, bool ok, float[2] v) => (bool go, float[2] w) { go = Identity(ok) w = Neg(v) }>"
    body = model(f"g (int64 n, float[2] x) => (float[2] y) {{ c = Constant <value = bool {{1}}> () a = {loop} b = Abs(x) y = Add(a, b) }}")
    options = ort_rs.SessionOptions()
    options.execution_mode = ort_rs.ExecutionMode.ORT_PARALLEL
    session = ort_rs.InferenceSession(body, options)
    run_options = ort_rs.RunOptions()
    timer = threading.Timer(0.05, lambda: setattr(run_options, "terminate", True))
    timer.start()
    with pytest.raises(native.Fail, match="terminate flag"):
        session.run(None, {"n": np.array(2**62), "x": np.ones(2, np.float32)}, run_options)


def test_loading_is_cancelled() -> None:
    def call(ort: ModuleType, cancel: bool) -> Any:
        options = ort.SessionOptions()
        options.set_load_cancellation_flag(True)
        options.set_load_cancellation_flag(cancel)
        return run(ort, ADD, options, x=X, y=X)

    assert_same(lambda ort: call(ort, True), text=False)
    assert_same(lambda ort: call(ort, False))


@pytest.mark.parametrize("name", ["CPUExecutionProvider", "NobodysExecutionProvider", "CUDAExecutionProvider"])
def test_providers_in_options(name: str) -> None:
    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        seen = [options.has_providers()]
        options.add_provider(name, {})
        return [*seen, options.has_providers(), ort.InferenceSession(ADD, options).get_providers()]

    assert_same(call, text=False)


def test_providers_given_twice_warn() -> None:
    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.add_provider("CPUExecutionProvider", {})
        with pytest.warns(UserWarning, match="SessionOptions has already been configured with providers"):
            return ort.InferenceSession(ADD, options, ["CPUExecutionProvider"]).get_providers()

    assert_same(call)


def test_libraries_of_operators_are_refused(tmp_path: Path) -> None:
    assert_same(lambda ort: ort.SessionOptions().register_custom_ops_library("/nowhere/lib.so"), text=False)
    library = tmp_path / "lib.so"
    library.write_bytes(b"")
    with pytest.raises(native.Fail, match=r"write them in Python with the decorator ort_rs\.custom_op, or in Rust"):
        ort_rs.SessionOptions().register_custom_ops_library(str(library))


def test_no_fallback() -> None:
    def call(ort: ModuleType, *providers: str) -> Any:
        options = ort.SessionOptions()
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return ort.InferenceSession(ADD, options, providers=list(providers)).get_providers()

    assert_same(lambda ort: call(ort), text=False)
    assert_same(lambda ort: call(ort, "CPUExecutionProvider"), text=False)


@pytest.mark.parametrize("arenas", ["cpu:0", "cpu", "", "gpu:0", "cpu:1", "foo"])
def test_arenas_shrink(arenas: str) -> None:
    def call(ort: ModuleType) -> Any:
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arenas)
        session = ort.InferenceSession(ADD)
        return [session.run(None, {"x": X, "y": X}, options) for _ in range(2)]

    assert_same(call)


CONFIG = {"session_options": {"inter_op_num_threads": 5, "intra_op_num_threads": 2, "graph_optimization_level": 99, "enable_profiling": 1}}


def test_options_from_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proto = onnx.ModelProto.FromString(ADD)
    onnx.helper.set_model_props(proto, {"ort_config": json.dumps(CONFIG)})
    monkeypatch.chdir(tmp_path)

    def call(ort: ModuleType, *, asked: bool = False) -> Any:
        session = ort.InferenceSession(proto.SerializeToString(), **({"read_config_from_model": 1} if asked else {}))
        options = session.get_session_options()
        path = session.end_profiling()
        return [options.inter_op_num_threads, options.intra_op_num_threads, options.enable_profiling, bool(path) and Path(path).exists()]

    assert_same(call)
    assert_same(lambda ort: call(ort, asked=True))
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    assert_same(call)
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "0")
    assert_same(call)


def test_options_of_the_model_that_make_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = onnx.ModelProto.FromString(ADD)
    onnx.helper.set_model_props(proto, {"ort_config": "{"})
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    with pytest.raises(RuntimeError, match="no JSON"):
        ort_rs.InferenceSession(proto.SerializeToString())
    ort_rs.InferenceSession(proto.SerializeToString(), read_config_from_model=0)


def profiled(ort: ModuleType, folder: Path, parallel: bool = False) -> list[dict[str, Any]]:
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / ort.__name__)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if parallel:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    body = onnx.ModelProto.FromString(model(WEIGHT.replace("y = Add(x, w)", "a = Add(x, w) y = Relu(a)")))
    body.graph.node[0].name = 'a "name"'
    session = ort.InferenceSession(body.SerializeToString(), options)
    session.run(None, {"x": X})
    assert session.get_profiling_start_time_ns() > 0
    path = Path(session.end_profiling())
    assert session.end_profiling() == ""
    assert path.name.startswith(ort.__name__ + "_")
    assert path.suffix == ".json"
    lines = path.read_text().splitlines()
    assert lines[0] == "["
    assert lines[-1].strip() == "]" or lines[-2].strip() == "]"
    for line in lines[1:-1]:
        assert all(tag in line for tag in ("pid", "dur", "ts", "ph", "X", "name", "args")) or line.strip() == "]"
    events: list[dict[str, Any]] = json.loads(path.read_text())
    return events


KEPT = ("op_name", "provider", "node_index", "input_type_shape", "output_type_shape", "output_size", "activation_size", "parameter_size")


def test_profiles(tmp_path: Path) -> None:
    def call(ort: ModuleType) -> Any:
        events = profiled(ort, tmp_path)
        session = sorted(e["name"] for e in events if e["cat"] == "Session")
        return [session, [[e["name"], {k: e["args"][k] for k in KEPT}] for e in events if e["cat"] == "Node"]]

    assert_same(call)


def test_profiles_of_parallel_runs(tmp_path: Path) -> None:
    events = profiled(ort_rs, tmp_path, parallel=True)
    assert {e["args"]["op_name"] for e in events if e["cat"] == "Node"} == {"Add", "Relu"}
    assert "ParallelExecutor::Execute" in {e["name"] for e in events}


def test_no_profile() -> None:
    assert_same(lambda ort: [ort.InferenceSession(ADD).end_profiling(), ort.InferenceSession(ADD).get_profiling_start_time_ns()])


def test_terminating_is_quick() -> None:
    """Not timed: a run that would take hours ends."""
    body = model("g (float[n,n] x) => (float[n,n] y) { a = MatMul(x, x) b = MatMul(a, x) y = MatMul(b, x) }")
    session = ort_rs.InferenceSession(body)
    options = ort_rs.RunOptions()
    x = np.ones((1500, 1500), np.float32)
    seen: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                session.run(None, {"x": x}, options)
        except native.Fail as e:
            seen.append(e)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    time.sleep(0.05)
    options.terminate = True
    thread.join(60)
    assert not thread.is_alive()
    assert "terminate flag" in str(seen[0])


def test_devices_of_providers() -> None:
    (device,) = ort_rs.get_ep_devices()
    theirs = onnxruntime.capi.onnxruntime_pybind11_state.get_ep_devices()[0]
    assert device.ep_name == theirs.ep_name
    assert (device.device.vendor, device.device.vendor_id) == (theirs.device.vendor, theirs.device.vendor_id)
    assert device.device.type is ort_rs.OrtHardwareDeviceType.CPU
    assert device.memory_info(ort_rs.OrtDeviceMemoryType.DEFAULT) is None
    assert set(device.ep_metadata) == set(theirs.ep_metadata)
    assert ort_rs.InferenceSession(ADD).get_input_epdevices()[0] is not None
    with pytest.raises(RuntimeError):
        device.create_sync_stream()


def test_providers_of_devices() -> None:
    def call(ort: ModuleType, count: int) -> Any:
        options = ort.SessionOptions()
        options.add_provider_for_devices(ort.get_ep_devices() * count, {})
        return [options.has_providers(), ort.InferenceSession(ADD, options).get_providers()]

    assert_same(lambda ort: call(ort, 1))
    assert_same(lambda ort: call(ort, 0))


def test_policies() -> None:
    def call(ort: ModuleType) -> Any:
        options = ort.SessionOptions()
        options.set_provider_selection_policy(ort.OrtExecutionProviderDevicePolicy.PREFER_CPU)
        return [options.has_providers(), ort.InferenceSession(ADD, options).get_providers()]

    assert_same(call)
    assert_same(lambda ort: ort.SessionOptions().set_provider_selection_policy(3), text=False)


@pytest.mark.parametrize("choice", ["all", "none", "fails", "nonsense"])
def test_delegates(choice: str) -> None:
    def call(ort: ModuleType) -> Any:
        seen: list[Any] = []

        def delegate(devices: Any, model_metadata: Any, runtime_metadata: Any, most: int) -> Any:
            seen.extend([len(devices), model_metadata, runtime_metadata, most])
            return {"all": devices, "none": [], "fails": devices[:1], "nonsense": 3}[choice] if choice != "fails" else 1 / 0

        options = ort.SessionOptions()
        options.set_provider_selection_policy_delegate(delegate)
        return [ort.InferenceSession(ADD, options).get_providers(), seen]

    if choice == "nonsense":
        with pytest.raises(native.Fail, match="delegate failed"):
            call(ort_rs)
        return
    assert_same(call, text=False)


def test_readers_of_context() -> None:
    options = ort_rs.SessionOptions()
    options.set_ep_context_data_read_func(lambda _name, _buffer: None, 100)
    options.clear_ep_context_data_read_func()
    with pytest.raises(TypeError):
        options.set_ep_context_data_read_func(3, 1)  # type: ignore[arg-type]
