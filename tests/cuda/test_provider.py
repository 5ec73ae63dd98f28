"""CUDAExecutionProvider through Python, on a driver without a device, in processes of its own."""

from pathlib import Path

import pytest

import ort_rs
from fake_cuda import CUDA, driver_with_kernels, python


@pytest.fixture(scope="module")
def kernels() -> Path:
    return driver_with_kernels()


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


def test_the_backend_takes_either_device(kernels: Path) -> None:
    python(
        f"""
from ort_rs import backend
assert backend.supports_device("CPU") and backend.supports_device("CUDA:0") and not backend.supports_device("TPU")
held = session(providers=["{CUDA}"])
x = np.ones((2, 40), np.float32)
for device, providers in [("CPU", ["CPUExecutionProvider"]), ("CUDA", ["{CUDA}", "CPUExecutionProvider"])]:
    prepared = backend.prepare(model, device)
    assert prepared._session.get_providers() == providers, device
    np.testing.assert_allclose(prepared.run([x])[0], held.run(None, {{"x": x}})[0], rtol=1e-5, atol=1e-6)
""",
        kernels,
    )


def test_a_limit_is_an_error_that_names_it(kernels: Path) -> None:
    python(
        f"""
s = session(providers=["{CUDA}"], provider_options=[{{"gpu_mem_limit": "200000"}}])
fails(Exception, "gpu_mem_limit=200000", s.run, None, {{"x": np.zeros((10000, 40), np.float32)}})
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
        ({"LD_LIBRARY_PATH": ""}, "no CUDA driver can be loaded (libcuda.so.1: cannot open"),
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
