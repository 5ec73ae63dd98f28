"""Functions of the module and settings of the process."""

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

import ort_rs
from models import ADD, model
from ort_rs.capi import _pybind_state, onnxruntime_pybind11_state
from paired import assert_same


def state(module: ModuleType) -> Any:
    """The module of native names of either package."""
    return onnxruntime_pybind11_state if module is ort_rs else onnxruntime.capi.onnxruntime_pybind11_state


CALLS: list[Callable[[ModuleType], Any]] = [
    lambda m: m.get_all_providers(),
    lambda m: m.get_device(),
    lambda m: m.has_collective_ops(),
    lambda m: (m.enable_telemetry_events(), m.disable_telemetry_events(), m.enable_telemetry_events()),
    lambda m: m.set_default_logger_severity(4),
    lambda m: m.set_default_logger_severity(2),
    lambda m: m.set_default_logger_severity(5),
    lambda m: m.set_default_logger_severity(-1),
    lambda m: m.set_default_logger_severity("loud"),
    lambda m: m.set_default_logger_verbosity(1),
    lambda m: m.set_default_logger_verbosity(0),
    lambda m: m.set_seed(7),
    lambda m: m.set_seed(2.5),
    lambda m: m.register_execution_provider_library("a", "/no/such/library.so"),
    lambda m: m.unregister_execution_provider_library("a"),
    lambda m: m.OrtEpDevice(),
    lambda m: [d.ep_name for d in m.get_ep_devices()],
    lambda m: [(d.device.type.value, d.device.vendor, d.device.vendor_id, d.device.device_id) for d in m.get_ep_devices()],
    lambda m: dict(m.get_ep_devices()[0].ep_options),
    lambda m: [d.type.value for d in state(m).get_hardware_devices()],
    lambda m: state(m).get_hardware_device_ep_incompatibility_details("CPUExecutionProvider", m.get_ep_devices()[0].device),
    lambda m: state(m).get_hardware_device_ep_incompatibility_details("", m.get_ep_devices()[0].device),
    lambda m: int(state(m).get_model_compatibility_for_ep_devices(m.get_ep_devices(), "text")),
    lambda m: state(m).get_model_compatibility_for_ep_devices([], "text"),
    lambda m: state(m).get_model_compatibility_for_ep_devices(m.get_ep_devices(), None),
    lambda m: state(m).get_compatibility_info_from_model_bytes(ADD, "x"),
    lambda m: state(m).get_compatibility_info_from_model_bytes(b"", "x"),
    lambda m: state(m).get_compatibility_info_from_model_bytes(b"garbage", "x"),
    lambda m: state(m).get_compatibility_info_from_model("/no/such/model.onnx", "x"),
    lambda m: state(m).get_compatibility_info_from_model("", ""),
]


@pytest.mark.parametrize("call", CALLS)
def test_calls_end_alike(call: Callable[[ModuleType], Any]) -> None:
    assert_same(call, text=False)


def test_compatibility_is_read_from_the_model() -> None:
    compiled = model("g (float[1] x) => (float[1] y) { y = Neg(x) }", header=', metadata_props: ["ep_compatibility_info.x": "fits"]')
    assert_same(lambda m: state(m).get_compatibility_info_from_model_bytes(compiled, "x"))
    assert_same(lambda m: state(m).get_compatibility_info_from_model_bytes(compiled, "y"))


def test_build_and_devices_are_told() -> None:
    assert "Build Info" in ort_rs.get_build_info()
    assert ort_rs.get_ep_devices()[0].ep_metadata["version"] == ort_rs.__version__


def test_both_native_modules_are_one() -> None:
    for name in onnxruntime_pybind11_state.__all__:
        assert getattr(_pybind_state, name) is getattr(onnxruntime_pybind11_state, name)


def test_debug_info_names_versions_and_providers(capsys: pytest.CaptureFixture[str]) -> None:
    ort_rs.print_debug_info()
    told = capsys.readouterr().out
    assert ort_rs.__version__ in told
    assert "CPUExecutionProvider" in told
    assert f"numpy=={np.__version__}" in told


def test_libraries_that_are_not_there_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    ort_rs.preload_dlls(cuda=False, cudnn=False)
    assert capsys.readouterr().out == ""
    ort_rs.preload_dlls(cuda=False, directory="no-such-folder")
    told = capsys.readouterr().out
    assert told == "" or "libcudnn" in told


RANDOM = model("g () => (float[4] a, float[4] b) { a = RandomUniform <shape: ints = [4]> () b = RandomNormal <shape: ints = [4]> () }")


def test_a_seed_makes_random_numbers_repeatable() -> None:
    def draws(runtime: ModuleType, seed: int) -> list[Any]:
        runtime.set_seed(seed)
        first, second = (runtime.InferenceSession(RANDOM, providers=["CPUExecutionProvider"]) for _ in range(2))
        return [np.concatenate(session.run(None, {})) for session in (first, first, second)]

    for runtime in (onnxruntime, ort_rs):
        first, later, other = draws(runtime, 7)
        np.testing.assert_array_equal(first, other)
        assert not np.array_equal(first, later), "a stream goes on from run to run"
        np.testing.assert_array_equal(draws(runtime, 7)[0], first)
        assert not np.array_equal(draws(runtime, 8)[0], first)


THREADS = """
import sys, importlib
import numpy as np
from models import ADD
runtime = importlib.import_module(sys.argv[1])

def session(own):
    options = runtime.SessionOptions()
    options.use_per_session_threads = own
    try:
        made = runtime.InferenceSession(ADD, options)
        made.run(None, {"x": np.zeros((2, 3), np.float32), "y": np.zeros((2, 3), np.float32)})
        return "ok"
    except Exception as error:
        return type(error).__name__

def sizes():
    try:
        return runtime.set_global_thread_pool_sizes(2, 1)
    except Exception as error:
        return type(error).__name__

print(session(False), sizes(), sizes(), session(True), session(False), file=sys.stderr)
"""


def test_threads_may_be_shared(pythonpath: dict[str, str]) -> None:
    def told(name: str) -> str:
        run = subprocess.run([sys.executable, "-c", THREADS, name], env=pythonpath, capture_output=True, text=True, check=True)
        return run.stderr.splitlines()[-1]

    assert told("ort_rs") == told("onnxruntime") == "RuntimeError None Fail RuntimeError ok"


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("cudnn", [False, True])
def test_where_libraries_of_cuda_are_looked_for(windows: bool, cuda: bool, cudnn: bool) -> None:
    assert_same(lambda ort: list(ort._get_nvidia_dll_paths(windows, cuda=cuda, cudnn=cudnn)))
