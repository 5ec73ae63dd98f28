"""The same on a device, where there is one: models against the CPU, values that lie there, and arrays of CuPy and PyTorch."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

import ort_rs

CUDA = "CUDAExecutionProvider"

pytestmark = pytest.mark.skipif(CUDA not in ort_rs.get_available_providers(), reason="there is no CUDA device, driver or kernel here")

Array = npt.NDArray[np.generic]


def model(
    nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]], weights: dict[str, Array], kind: int, result: int | None = None
) -> bytes:
    made = [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes]
    x = helper.make_tensor_value_info("x", kind, ["n", 64])
    y = helper.make_tensor_value_info("y", result or kind, None)
    graph = helper.make_graph(made, "g", [x], [y], [numpy_helper.from_array(a, n) for n, a in weights.items()])
    serialized: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    return serialized


def compare(serialized: bytes, x: Array, tolerance: float) -> None:
    options = ort_rs.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    device = ort_rs.InferenceSession(serialized, options, providers=[CUDA])
    host = ort_rs.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    for _ in range(2):
        got, want = device.run(None, {"x": x})[0], host.run(None, {"x": x})[0]
        np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "kind", "tolerance"), [(np.float32, TensorProto.FLOAT, 1e-4), (np.float16, TensorProto.FLOAT16, 1e-2)])
@pytest.mark.parametrize("rows", [1, 17, 300])
def test_layers(rows: int, dtype: type[np.floating], kind: int, tolerance: float) -> None:
    rng = np.random.default_rng(rows)
    weights = {
        "w": (rng.standard_normal((64, 96)) / 8).astype(dtype),
        "b": rng.standard_normal(96).astype(dtype),
        "v": (rng.standard_normal((96, 64)) / 10).astype(dtype),
        "g": rng.standard_normal(64).astype(dtype),
    }
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("Gemm", ["x", "w", "b"], ["h"], {}),
        ("Gelu", ["h"], ["a"], {}),
        ("MatMul", ["a", "v"], ["m"], {}),
        ("Add", ["m", "x"], ["r"], {}),
        ("LayerNormalization", ["r", "g"], ["l"], {}),
        ("Transpose", ["l"], ["t"], {"perm": [1, 0]}),
        ("Softmax", ["t"], ["y"], {"axis": -1}),
    ]
    compare(model(nodes, weights, kind), rng.standard_normal((rows, 64)).astype(dtype), tolerance)


def perceptron(dtype: type[np.floating] = np.float32, kind: int = TensorProto.FLOAT) -> tuple[bytes, Array]:
    """A model with its input."""
    rng = np.random.default_rng(5)
    weights = {"w": (rng.standard_normal((64, 96)) / 8).astype(dtype), "b": rng.standard_normal(96).astype(dtype)}
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = [("Gemm", ["x", "w", "b"], ["h"], {}), ("Relu", ["h"], ["y"], {})]
    return model(nodes, weights, kind), rng.standard_normal((33, 64)).astype(dtype)


def on_host(serialized: bytes, x: Array) -> Array:
    result: Array = ort_rs.InferenceSession(serialized, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    return result


def near(got: Any, want: Array, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (), (1 << 21,)])
def test_values(shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    x = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
    value = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
    assert (value.device_name(), value.shape()) == ("cuda", list(shape))
    np.testing.assert_array_equal(value.numpy(), x)
    other = ort_rs.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cuda", 0)
    np.testing.assert_array_equal(other.numpy(), np.zeros(shape, dtype))
    other.update_inplace(value)
    np.testing.assert_array_equal(other.numpy(), x)


def test_bindings() -> None:
    serialized, x = perceptron()
    session = ort_rs.InferenceSession(serialized, providers=[CUDA])
    value = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
    binding = session.io_binding()
    binding.bind_input("x", "cuda", 0, np.float32, value.shape(), value.data_ptr())
    binding.bind_output("y", "cuda")
    for _ in range(3):
        session.run_with_iobinding(binding)
        near(binding.get_outputs()[0].numpy(), on_host(serialized, x))
    out = ort_rs.OrtValue.ortvalue_from_shape_and_type([33, 96], np.float32, "cuda", 0)
    binding.bind_output("y", "cuda", 0, np.float32, [33, 96], out.data_ptr())
    session.run_with_iobinding(binding)
    near(out.numpy(), on_host(serialized, x))


def test_pointers_are_checked() -> None:
    serialized, x = perceptron()
    binding = ort_rs.InferenceSession(serialized, providers=[CUDA]).io_binding()
    with pytest.raises(RuntimeError, match=r"'x'.*(is not memory of CUDA device 0|memory of the host)"):
        binding.bind_input("x", "cuda", 0, np.float32, x.shape, x.ctypes.data)
    value = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
    with pytest.raises(RuntimeError, match="bytes are needed at address"):
        binding.bind_input("x", "cuda", 0, np.float32, [1 << 34, 64], value.data_ptr())


def test_limits_and_bad_indices_leave_the_session_as_it_was() -> None:
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = [("Gather", ["w", "x"], ["y"], {})]
    table = np.arange(64, dtype=np.float32).reshape(16, 4)
    serialized = model(nodes, {"w": table}, TensorProto.INT64, TensorProto.FLOAT)
    session = ort_rs.InferenceSession(serialized, providers=[(CUDA, {"gpu_mem_limit": 1 << 22})])
    good = np.zeros((2, 64), np.int64)
    for _ in range(3):
        with pytest.raises(Exception, match="idx=99 must be within"):
            session.run(None, {"x": np.full((2, 64), 99)})
        with pytest.raises(Exception, match="gpu_mem_limit=4194304"):
            session.run(None, {"x": np.zeros((1 << 16, 64), np.int64)})
        np.testing.assert_array_equal(session.run(None, {"x": good})[0], table[good])


def test_cupy_both_ways() -> None:
    cupy = pytest.importorskip("cupy")
    serialized, x = perceptron()
    session = ort_rs.InferenceSession(serialized, providers=[CUDA])
    with cupy.cuda.Stream(non_blocking=True) as stream:
        there = cupy.asarray(x) * 2
        near(session.run(None, {"x": there})[0], on_host(serialized, 2 * x))
        near(session.run(None, {"x": ort_rs.OrtValue.from_dlpack(there)})[0], on_host(serialized, 2 * x))
        binding = session.io_binding()
        stream.synchronize()
        binding.bind_input("x", "cuda", 0, np.float32, there.shape, there.data.ptr)
        binding.bind_output("y", "cuda")
        binding.synchronize_inputs()
        session.run_with_iobinding(binding)
        y = binding.get_outputs()[0]
        for back in (cupy.asarray(y), cupy.from_dlpack(y)):
            assert back.data.ptr == y.data_ptr()
            near((back + 1).get(), on_host(serialized, 2 * x) + 1)


def test_torch_both_ways() -> None:
    torch = pytest.importorskip("torch")
    serialized, x = perceptron(np.float16, TensorProto.FLOAT16)
    stream = torch.cuda.Stream()
    options = {"user_compute_stream": str(stream.cuda_stream), "has_user_compute_stream": "1"}
    session = ort_rs.InferenceSession(serialized, providers=[(CUDA, options)])
    with torch.cuda.stream(stream):
        there = torch.from_numpy(x).cuda() * 2
        value = ort_rs.OrtValue.from_dlpack(there)
        assert value.data_ptr() == there.data_ptr()
        near(session.run(None, {"x": value})[0], on_host(serialized, 2 * x), 1e-2)
        back = torch.from_dlpack(value)
        assert back.data_ptr() == there.data_ptr()
        near(back.cpu().numpy(), 2 * x)


def test_no_kernel_leaves_its_memory() -> None:
    sanitizer = shutil.which("compute-sanitizer")
    if not sanitizer:
        pytest.skip("there is no compute-sanitizer (CUDA toolkit)")
    command = [sanitizer, "--error-exitcode", "9", sys.executable, "-m", "pytest", "-q", "-k", "test_layers or test_bindings", __file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
