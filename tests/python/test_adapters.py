"""LoRA adapters: their files, and runs with them."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import ort_rs
from models import model

BOTH = (onnxruntime, ort_rs)


def adapter(runtime: ModuleType, path: Path, **parameters: Any) -> None:
    content = runtime.AdapterFormat()
    content.set_adapter_version(7)
    content.set_model_version(9)
    content.set_parameters({name: runtime.OrtValue.ortvalue_from_numpy(array) for name, array in parameters.items()})
    content.export_adapter(str(path))


@pytest.mark.parametrize("writer", BOTH)
@pytest.mark.parametrize("reader", BOTH)
def test_what_one_writes_the_other_reads(writer: ModuleType, reader: ModuleType, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "i": np.array([5, -5], np.int64),
        "none": np.zeros((0, 4), np.float16),
    }
    adapter(writer, tmp_path / "a.onnx_adapter", **arrays)
    read = reader.AdapterFormat.read_adapter(str(tmp_path / "a.onnx_adapter"))
    assert (read.get_format_version(), read.get_adapter_version(), read.get_model_version()) == (1, 7, 9)
    parameters = read.get_parameters()
    del read
    assert parameters.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (parameters[name].shape(), parameters[name].numpy().dtype) == (list(array.shape), array.dtype)
        np.testing.assert_array_equal(parameters[name].numpy(), array)


def test_a_read_adapter_may_be_written_anew(tmp_path: Path) -> None:
    adapter(ort_rs, tmp_path / "a.onnx_adapter", w=np.ones(2, np.float32))
    read = ort_rs.AdapterFormat.read_adapter(tmp_path / "a.onnx_adapter")
    read.set_parameters({"v": ort_rs.OrtValue.ortvalue_from_numpy(np.zeros(3, np.float32))})
    read.export_adapter(tmp_path / "b.onnx_adapter")
    again = ort_rs.AdapterFormat.read_adapter(tmp_path / "b.onnx_adapter")
    assert list(again.get_parameters()) == ["v"]
    assert again.get_adapter_version() == again.adapter_version == 7


def test_files_that_are_none_are_errors(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"something else")
    for runtime in BOTH:
        for path in ("other", "missing"):
            with pytest.raises(RuntimeError):
                runtime.AdapterFormat.read_adapter(str(tmp_path / path))
            with pytest.raises(RuntimeError):
                runtime.LoraAdapter().Load(str(tmp_path / path))
        with pytest.raises(RuntimeError):
            runtime.AdapterFormat().export_adapter(str(tmp_path / "no" / "folder"))


def test_strings_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    for runtime in BOTH:
        session = runtime.InferenceSession(
            model("g (float[1] x) => (string[1] y) { y = Cast<to: int = 8>(x) }"), providers=["CPUExecutionProvider"]
        )
        x = runtime.OrtValue.ortvalue_from_numpy(np.ones(1, np.float32))
        content = runtime.AdapterFormat()
        content.set_parameters({"s": session.run_with_ort_values(["y"], {"x": x})[0]})
        with pytest.raises(RuntimeError, match="STRING"):
            content.export_adapter(str(tmp_path / "a.onnx_adapter"))
        assert not (tmp_path / "a.onnx_adapter").exists()


def with_defaults() -> bytes:
    graph = onnx.parser.parse_graph("""
      g (float[n,2] x, float[2,r] a, float[r,2] b) => (float[n,2] y) {
        p = MatMul(x, a)
        q = MatMul(p, b)
        y = Add(x, q)
      }""")
    for name, shape in {"a": (2, 0), "b": (0, 2)}.items():
        graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
    whole = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    return bytes(whole.SerializeToString())


def test_a_run_takes_the_parameters(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx_adapter"
    adapter(ort_rs, path, a=np.array([[1], [2]], np.float32), b=np.array([[10, 100]], np.float32))
    x = np.array([[1, 1]], np.float32)
    results = []
    for runtime in BOTH:
        session = runtime.InferenceSession(with_defaults(), providers=["CPUExecutionProvider"])
        active = runtime.LoraAdapter()
        active.Load(str(path))
        options = runtime.RunOptions()
        options.add_active_adapter(active)
        plain, adapted, again = (session.run(None, {"x": x}, *o)[0] for o in ((), (options,), ()))
        np.testing.assert_array_equal(plain, x)
        np.testing.assert_array_equal(again, x)
        results.append(adapted)
    np.testing.assert_array_equal(results[0], [[31, 301]])
    np.testing.assert_array_equal(results[1], [[31, 301]])


def test_parameters_that_the_model_has_not_got_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx_adapter"
    adapter(ort_rs, path, other=np.zeros(1, np.float32))
    active, options = ort_rs.LoraAdapter(), ort_rs.RunOptions()
    active.Load(path)
    options.add_active_adapter(active)
    session = ort_rs.InferenceSession(with_defaults())
    with pytest.raises(Exception, match="Invalid input name: other"):
        session.run(None, {"x": np.zeros((1, 2), np.float32)}, options)
