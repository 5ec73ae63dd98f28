"""Values on the device through Python, as ONNX Runtime's documentation uses them, on a driver without a device."""

from pathlib import Path

import pytest

from fake_cuda import CUDA, driver_with_kernels, python

SETUP = f"""
s = session(providers=["{CUDA}", "CPUExecutionProvider"])
x = rng.standard_normal((5, 40)).astype(np.float32)
expected = session().run(None, {{"x": x}})[0]
def near(y):
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
"""


@pytest.fixture(scope="module")
def kernels() -> Path:
    return driver_with_kernels()


def test_values_are_made_and_read(kernels: Path) -> None:
    python(
        """
import ml_dtypes
for dtype in (np.float32, np.float16, np.int64, np.uint8, np.bool_, ml_dtypes.bfloat16):
    for shape in ((3, 5), (), (0, 4)):
        x = rng.integers(0, 2, shape).astype(dtype)
        v = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
        assert (v.device_name(), v.shape(), v.numpy().dtype, v.is_tensor()) == ("cuda", list(shape), x.dtype, True)
        np.testing.assert_array_equal(v.numpy(), x)
        zeros = ort_rs.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cuda", 0)
        np.testing.assert_array_equal(zeros.numpy(), np.zeros(shape, dtype))
        assert zeros.tensor_size_in_bytes() == x.nbytes and (zeros.data_ptr() == 0) == (x.size == 0)
        zeros.update_inplace(x)
        np.testing.assert_array_equal(zeros.numpy(), x)
v = ort_rs.OrtValue.ortvalue_from_numpy(np.arange(6, dtype=np.float32), ort_rs.OrtDevice.make("cuda", 0))
y = v.numpy()
y[0] = 9
assert v.numpy()[0] == 0, "what is read is a copy"
w = ort_rs.OrtValue.ortvalue_from_shape_and_onnx_type([6], TensorProto.FLOAT, ort_rs.OrtDevice.make("cuda", 0))
h = ort_rs.OrtValue.ortvalue_from_numpy(np.full(6, 7, np.float32))
ort_rs.copy_tensors([h], [w])
np.testing.assert_array_equal(w.numpy(), np.full(6, 7))
ort_rs.copy_tensors([v], [w])
np.testing.assert_array_equal(w.numpy(), np.arange(6))
h.update_inplace(v)
np.testing.assert_array_equal(h.numpy(), np.arange(6))
fails(RuntimeError, "size", w.update_inplace, ort_rs.OrtValue.ortvalue_from_numpy(np.zeros(5, np.float32)))
assert ort_rs.get_device() == "GPU"
""",
        kernels,
    )


def test_devices_that_are_not_there(kernels: Path) -> None:
    script = """
make = ort_rs.OrtValue.ortvalue_from_numpy
fails(RuntimeError, "Can't allocate memory on CUDA device 3: device_id is 3, but there are 1 CUDA devices", make, np.zeros(3), "cuda", 3)
fails(RuntimeError, "negative", make, np.zeros(3), "cuda", -1)
fails(RuntimeError, "ort_rs reaches the CPU and CUDA devices", make, np.zeros(3), "dml", 0)
fails(RuntimeError, "CUDA_ERROR_OUT_OF_MEMORY", ort_rs.OrtValue.ortvalue_from_shape_and_type, [10**6], np.float32, "cuda", 0)
assert make(np.zeros(3), "cuda", 0).numpy().shape == (3,)
"""
    python(script, kernels, FAKE_CUDA_MEMORY="100000")
    gone = "fails(RuntimeError, 'no CUDA device', ort_rs.OrtValue.ortvalue_from_numpy, np.zeros(3), 'cuda', 0)"
    python(gone + "\nassert ort_rs.get_device() == 'CPU'", kernels, FAKE_CUDA_DEVICES="0")


def test_runs_on_values_of_the_device(kernels: Path) -> None:
    python(
        SETUP
        + """
v = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
y = s.run_with_ort_values(["y"], {"x": v})[0]
assert y.device_name() == "cpu", "as in ONNX Runtime, unless a binding says otherwise"
near(y.numpy())
near(s.run(None, {"x": v})[0])
from ort_rs.capi.onnxruntime_pybind11_state import OrtValueVector
feeds, fetches = OrtValueVector(), OrtValueVector()
feeds.push_back(v)
device = ort_rs.OrtDevice.make("cuda", 0)
s.run_with_ortvaluevector(ort_rs.RunOptions(), ["x"], feeds, ["y"], fetches, [device])
assert fetches[0].device_name() == "cuda"
near(fetches[0].numpy())
assert s.create_ortvalue_from_shape_and_type([2, 2], np.float32, "cuda", 0).device_name() == "cuda"
""",
        kernels,
    )


def test_bindings_as_the_documentation_shows(kernels: Path) -> None:
    python(
        SETUP
        + """
# From the host to the host.
b = s.io_binding()
b.bind_cpu_input("x", x)
b.bind_output("y")
s.run_with_iobinding(b)
near(b.copy_outputs_to_cpu()[0])
# From a value of the device to memory of the runtime there.
v = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
b = s.io_binding()
b.bind_input("x", v.device_name(), 0, np.float32, v.shape(), v.data_ptr())
b.bind_output("y", "cuda")
b.synchronize_inputs()
places = set()
for _ in range(3):
    s.run_with_iobinding(b)
    b.synchronize_outputs()
    y = b.get_outputs()[0]
    assert (y.device_name(), y.shape()) == ("cuda", [5, 9])
    places.add(y.data_ptr())
    near(y.numpy())
    near(b.copy_outputs_to_cpu()[0])
assert len(places) == 1, "memory of the runtime is used again"
# To memory that the program made, by value and by address.
out = ort_rs.OrtValue.ortvalue_from_shape_and_type([5, 9], np.float32, "cuda", 0)
b = s.io_binding()
b.bind_ortvalue_input("x", v)
b.bind_ortvalue_output("y", out)
s.run_with_iobinding(b)
near(out.numpy())
out.update_inplace(np.zeros((5, 9), np.float32))
b.bind_output("y", "cuda", 0, np.float32, out.shape(), out.data_ptr())
s.run_with_iobinding(b)
near(out.numpy())
# New content of the same memory.
v.update_inplace(2 * x)
s.run_with_iobinding(b)
np.testing.assert_allclose(out.numpy(), session().run(None, {"x": 2 * x})[0], rtol=1e-5, atol=1e-6)
# From the host to the device, and back.
b = s.io_binding()
b.bind_cpu_input("x", x)
b.bind_output("y", "cuda")
s.run_with_iobinding(b)
near(b.get_outputs()[0].numpy())
b.bind_ortvalue_input("x", ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0))
b.bind_output("y", "cpu")
s.run_with_iobinding(b)
assert b.get_outputs()[0].device_name() == "cpu"
near(b.get_outputs()[0].numpy())
""",
        kernels,
    )


def test_pointers_are_checked(kernels: Path) -> None:
    python(
        SETUP
        + """
v = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
far = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 1)
b = s.io_binding()
bind = lambda shape, pointer, device=0: b.bind_input("x", "cuda", device, np.float32, shape, pointer)
fails(RuntimeError, "'x', tensor(float) of shape {5,40}: address", bind, [5, 40], far.data_ptr())
fails(RuntimeError, "is on CUDA device 1, not on 0", bind, [5, 40], far.data_ptr())
fails(RuntimeError, "is not memory of CUDA device 0", bind, [5, 40], x.ctypes.data)
fails(RuntimeError, "800000 bytes are needed", bind, [5000, 40], v.data_ptr())
fails(RuntimeError, "there are 2 CUDA devices", bind, [5, 40], v.data_ptr(), 2)
fails(RuntimeError, "'y', tensor(float)", b.bind_output, "y", "cuda", 0, np.float32, [5, 9], far.data_ptr())
# The value is where it says, but the session is elsewhere.
b.bind_input("x", "cuda", 1, np.float32, [5, 40], far.data_ptr())
b.bind_output("y")
fails(RuntimeError, "input 'x': no provider of the session reaches the memory of CUDA device 1", s.run_with_iobinding, b)
b.bind_input("x", "cuda", 0, np.float32, [4, 40], v.data_ptr())
s.run_with_iobinding(b)
assert b.get_outputs()[0].shape() == [4, 9]
# A result that does not fit the memory it is bound to.
small = ort_rs.OrtValue.ortvalue_from_shape_and_type([3, 9], np.float32, "cuda", 0)
b.bind_ortvalue_output("y", small)
fails(RuntimeError, "Requested shape:{3,9}", s.run_with_iobinding, b)
near(s.run(None, {"x": x})[0])
# Values travel between devices.
near_copy = ort_rs.OrtValue.ortvalue_from_shape_and_type([5, 40], np.float32, "cuda", 0)
near_copy.update_inplace(far)
np.testing.assert_array_equal(near_copy.numpy(), x)
""",
        kernels,
        FAKE_CUDA_DEVICES="2",
    )


def test_memory_is_shared_with_other_libraries(kernels: Path) -> None:
    python(
        SETUP
        + """
v = ort_rs.OrtValue.ortvalue_from_numpy(x, "cuda", 0)
about = v.__cuda_array_interface__
assert about["shape"] == (5, 40) and about["typestr"] == "<f4" and about["data"] == (v.data_ptr(), False) and about["strides"] is None
assert about["version"] == 3 and about["stream"] is None
fails(AttributeError, "host", getattr, ort_rs.OrtValue.ortvalue_from_numpy(x), "__cuda_array_interface__")
assert not hasattr(ort_rs.OrtValue.ortvalue_from_numpy(x), "__cuda_array_interface__")

class Array:
    # What CuPy shows of its arrays.
    def __init__(self, value, **changes):
        self.value, self.changes = value, changes
    @property
    def __cuda_array_interface__(self):
        return {**self.value.__cuda_array_interface__, **self.changes}

near(s.run(None, {"x": Array(v)})[0])
near(s.run(None, {"x": Array(v, stream=1, strides=(160, 4))})[0])
w = ort_rs.OrtValue.from_dlpack(Array(v))
assert (w.data_ptr(), w.device_name()) == (v.data_ptr(), "cuda")
fails(RuntimeError, "contiguous", s.run, None, {"x": Array(v, strides=(4, 20))})
fails(RuntimeError, "not memory of a CUDA device", s.run, None, {"x": Array(v, data=(x.ctypes.data, False))})
fails(TypeError, "__cuda_array_interface__", s.run, None, {"x": Array(v, data=None)})
half = np.zeros((5, 40), np.float16)
fails(Exception, "Unexpected input data type", s.run, None, {"x": Array(ort_rs.OrtValue.ortvalue_from_numpy(half, "cuda", 0))})

# DLPack, both ways: the consumer names its stream, the producer keeps the memory.
assert v.__dlpack_device__() == (2, 0)
w = ort_rs.OrtValue.from_dlpack(v.__dlpack__(stream=1))
assert (w.data_ptr(), w.device_name(), w.__dlpack_device__()) == (v.data_ptr(), "cuda", (2, 0))
class Lender:
    streams = []
    def __dlpack_device__(self):
        return v.__dlpack_device__()
    def __dlpack__(self, *, stream=None):
        self.streams.append(stream)
        return v.__dlpack__(stream=stream)
w = ort_rs.OrtValue.from_dlpack(Lender())
assert w.data_ptr() == v.data_ptr() and isinstance(Lender.streams[0], int) and Lender.streams[0] > 2
near(s.run(None, {"x": w})[0])
near(s.run(None, {"x": Lender()})[0])
del v
np.testing.assert_array_equal(w.numpy(), x)
host = ort_rs.OrtValue.from_dlpack(w.__dlpack__(dl_device=(1, 0)))
assert host.device_name() == "cpu"
np.testing.assert_array_equal(host.numpy(), x)
copy = ort_rs.OrtValue.from_dlpack(w.__dlpack__(copy=True))
assert copy.device_name() == "cuda" and copy.data_ptr() != w.data_ptr()
fails(BufferError, "DLPack", w.__dlpack__, dl_device=(2, 1))
fails(BufferError, "DLPack", w.__dlpack__, dl_device=(1, 0), copy=False)
y = s.io_binding()
y.bind_ortvalue_input("x", w)
y.bind_output("y", "cuda")
s.run_with_iobinding(y)
kept = y.get_outputs()[0]
del s, y
near(kept.numpy())
""",
        kernels,
    )


@pytest.mark.parametrize("settings", [{}, {"FAKE_CUBLAS_FAIL": "create"}, {"FAKE_CUBLAS_NONE": "1"}])
def test_products_by_cublas_give_the_same(kernels: Path, settings: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = Path(f"{kernels}:{kernels.parent / 'blas'}")
    python(SETUP + 'near(s.run(None, {"x": x})[0])', both, FAKE_CUDA_LOG=str(log), **settings)
    lines = log.read_text().splitlines()
    assert any(line.startswith("matmul") for line in lines) == (not settings)
    assert any(line.startswith("launch product") for line in lines) == bool(settings)


def test_cublas_is_found_where_pip_puts_it(kernels: Path, tmp_path: Path) -> None:
    packaged = tmp_path / "nvidia" / "cublas" / "lib"
    packaged.mkdir(parents=True)
    (packaged / "libcublasLt.so.12").symlink_to(kernels.parent / "blas" / "libcublasLt.so.12")
    log = tmp_path / "log"
    python(SETUP + 'near(s.run(None, {"x": x})[0])', kernels, FAKE_CUDA_LOG=str(log), PYTHONPATH=str(tmp_path))
    assert "matmul" in log.read_text()


def test_a_bad_index_names_the_node_and_leaves_all_as_it_was(kernels: Path) -> None:
    python(
        f"""
value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
nodes = [helper.make_node("Gather", ["t", "i"], ["y"], name="look_up")]
graph = helper.make_graph(nodes, "g", [value("t", TensorProto.FLOAT, ["a"]), value("i", TensorProto.INT64, ["n"])],
                          [value("y", TensorProto.FLOAT, ["n"])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
s = session(providers=["{CUDA}"])
table = np.arange(4, dtype=np.float32)
for _ in range(3):
    fails(Exception, "Name:'look_up'", s.run, None, {{"t": table, "i": np.array([1, 7])}})
    fails(Exception, "idx=7 must be within the inclusive range [-4,3]", s.run, None, {{"t": table, "i": np.array([1, 7])}})
    np.testing.assert_array_equal(s.run(None, {{"t": table, "i": np.array([-1, 0])}})[0], [3, 0])
b = s.io_binding()
b.bind_cpu_input("t", table)
b.bind_cpu_input("i", np.array([9]))
b.bind_output("y", "cuda")
fails(RuntimeError, "idx=9", s.run_with_iobinding, b)
""",
        kernels,
    )


def test_types_without_a_kernel_are_told(kernels: Path) -> None:
    python(
        f"""
value = lambda name: helper.make_tensor_value_info(name, TensorProto.INT8, ["n"])
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"], name="sum")], "g", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
fails(Exception, "'sum'; {CUDA}: there is no CUDA kernel binary_Add_int8", session, providers=["{CUDA}"],
      config={{"session.disable_cpu_ep_fallback": "1"}})
s = session(providers=["{CUDA}"])
np.testing.assert_array_equal(s.run(None, {{"x": np.array([3], np.int8)}})[0], [6])
""",
        kernels,
    )
