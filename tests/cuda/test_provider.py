"""CUDAExecutionProvider through Python, on a driver without a device, in processes of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ort_rs

ROOT = Path(__file__).resolve().parents[2]
CUDA = "CUDAExecutionProvider"

# Makes a small perceptron and runs it on both providers.
SCRIPT = """
import warnings
import numpy as np
import ort_rs
from onnx import TensorProto, helper, numpy_helper

warnings.simplefilter("error")
rng = np.random.default_rng(1)
weights = {n: rng.standard_normal(s).astype(np.float32) for n, s in [("w", (40, 70)), ("b", (70,)), ("v", (70, 9)), ("c", (9,))]}
nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
         helper.make_node("Gemm", ["r", "v", "c"], ["g"]), helper.make_node("Softmax", ["g"], ["y"])]
value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
graph = helper.make_graph(nodes, "mlp", [value("x", ["n", 40])], [value("y", ["n", 9])],
                          [numpy_helper.from_array(a, n) for n, a in weights.items()])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()

def session(**kwargs):
    options = ort_rs.SessionOptions()
    for key, text in kwargs.pop("config", {}).items():
        options.add_session_config_entry(key, text)
    return ort_rs.InferenceSession(model, options, **kwargs)
"""


@pytest.fixture(scope="module")
def driver() -> Path:
    if not shutil.which("make") or not shutil.which("g++"):
        pytest.skip("there is no make or no g++")
    out = ROOT / "target" / "cuda_shim"
    subprocess.run(["make", "-s", "-j2", "driver", f"OUT={out}"], cwd=ROOT / "kernels_cuda" / "shim", check=True)
    return out / "driver"


def python(script: str, driver: Path | None, **settings: str) -> str:
    """What a script prints, in a process that finds the driver."""
    environment = {**os.environ, **settings}
    if driver:
        environment["LD_LIBRARY_PATH"] = str(driver)
    done = subprocess.run([sys.executable, "-c", SCRIPT + script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def kernels(driver: Path) -> Path:
    """The driver, where the package has kernels for it."""
    if CUDA not in python("print(ort_rs.get_available_providers())", driver):
        pytest.skip("the package was built without CUDA kernels")
    return driver


def test_a_model_gives_what_the_cpu_gives(kernels: Path) -> None:
    python(
        f"""
assert ort_rs.get_available_providers() == ["{CUDA}", "CPUExecutionProvider"]
s = session(providers=[("{CUDA}", {{"device_id": 0, "gpu_mem_limit": 1 << 30}}), "CPUExecutionProvider"])
assert s.get_providers() == ["{CUDA}", "CPUExecutionProvider"]
assert s.get_provider_options()["{CUDA}"] == {{"device_id": "0", "gpu_mem_limit": str(1 << 30)}}
assert session().get_providers() == ["CPUExecutionProvider"]
for n in (1, 5, 70):
    x = rng.standard_normal((n, 40)).astype(np.float32)
    a, b = s.run(None, {{"x": x}})[0], session().run(None, {{"x": x}})[0]
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
strict = session(providers=["{CUDA}"], config={{"session.disable_cpu_ep_fallback": "1"}})
np.testing.assert_allclose(strict.run(None, {{"x": x}})[0], b, rtol=1e-5, atol=1e-6)
""",
        kernels,
    )


def test_a_limit_is_an_error_that_names_it(kernels: Path) -> None:
    python(
        f"""
s = session(providers=["{CUDA}"], provider_options=[{{"gpu_mem_limit": "200000"}}])
try:
    s.run(None, {{"x": np.zeros((10000, 40), np.float32)}})
except Exception as e:
    assert "gpu_mem_limit=200000" in str(e), e
else:
    raise AssertionError("1.6 MB do not fit into 200 kB")
assert s.run(None, {{"x": np.zeros((2, 40), np.float32)}})[0].shape == (2, 9)
""",
        kernels,
    )


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"FAKE_CUDA_VERSION": "11080"}, "version 11.8; 12.0 or newer is needed"),
        ({"FAKE_CUDA_DEVICES": "0"}, "there is no CUDA device"),
        ({"FAKE_CUDA_INIT": "999"}, "CUDA_ERROR_UNKNOWN"),
        ({"LD_LIBRARY_PATH": ""}, "no CUDA driver can be loaded"),
    ],
)
def test_asked_for_in_vain_it_warns_with_the_cause(kernels: Path, settings: dict[str, str], cause: str) -> None:
    script = f"""
assert ort_rs.get_available_providers() == ["CPUExecutionProvider"]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    s = session(providers=["{CUDA}", "CPUExecutionProvider"])
assert s.get_providers() == ["CPUExecutionProvider"]
assert any({cause!r} in str(w.message) for w in caught), [str(w.message) for w in caught]
assert s.run(None, {{"x": np.zeros((2, 40), np.float32)}})[0].shape == (2, 9)
warnings.simplefilter("ignore")
try:
    session(providers=["{CUDA}"], config={{"session.disable_cpu_ep_fallback": "1"}})
except ort_rs.capi.onnxruntime_pybind11_state.Fail as e:
    assert {cause!r} in str(e), e
else:
    raise AssertionError("the CPU is forbidden")
"""
    python(script, None if "LD_LIBRARY_PATH" in settings else kernels, **settings)


def test_the_name_is_known_everywhere() -> None:
    assert CUDA in ort_rs.get_all_providers()
