"""ModelCompiler: models written as sessions would run them."""

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
from paired import assert_same

BOTH = (onnxruntime, ort_rs)
CASTS = model("""
  g (float[2] x) => (float[2] y) {
    a = Cast <to: int = 1> (x)
    b = Cast <to: int = 11> (a)
    c = Cast <to: int = 7> (b)
    y = Cast <to: int = 1> (c)
  }""")


def compiler(runtime: ModuleType, source: Any = CASTS, **arguments: Any) -> Any:
    return runtime.ModelCompiler(runtime.SessionOptions(), source, **arguments)


@pytest.mark.parametrize("runtime", BOTH)
def test_nothing_is_compiled_and_the_model_is_written(runtime: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    compiler(runtime).compile_to_file(str(path))
    assert [n.op_type for n in onnx.load(path).graph.node] == ["Cast"] * 4
    written = compiler(runtime).compile_to_bytes()
    assert isinstance(written, bytes)
    pieces: list[bytes] = []
    compiler(runtime).compile_to_stream(pieces.append)
    for content in (written, b"".join(pieces)):
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        np.testing.assert_array_equal(session.run(None, {"x": np.array([1.5, -2.5], np.float32)})[0], [1, -2])


@pytest.mark.parametrize("runtime", BOTH)
def test_the_level_of_optimization_counts(runtime: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    compiler(runtime, graph_optimization_level=runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC).compile_to_file(str(path))
    assert len(onnx.load(path).graph.node) < 4


@pytest.mark.parametrize("runtime", BOTH)
def test_flags_make_errors(runtime: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    with pytest.raises(Exception, match="Unable to compile any nodes") as error:
        compiler(runtime, flags=runtime.OrtCompileApiFlags.ERROR_IF_NO_NODES_COMPILED).compile_to_file(str(path))
    assert type(error.value).__name__ == "Fail"
    assert not path.exists()
    once = runtime.OrtCompileApiFlags.ERROR_IF_OUTPUT_FILE_EXISTS
    compiler(runtime, flags=once).compile_to_file(str(path))
    with pytest.raises(Exception, match="exists already") as error:
        compiler(runtime, flags=once).compile_to_file(str(path))
    assert type(error.value).__name__ == "Fail"


@pytest.mark.parametrize("runtime", BOTH)
def test_what_a_stream_raises_is_a_failure(runtime: ModuleType) -> None:
    def refuse(_: bytes) -> None:
        raise ValueError("the disk is full")

    with pytest.raises(Exception, match="the disk is full") as error:
        compiler(runtime).compile_to_stream(refuse)
    assert type(error.value).__name__ == "Fail"


@pytest.mark.parametrize("runtime", BOTH)
def test_weights_may_go_to_a_file_of_their_own(runtime: ModuleType, tmp_path: Path) -> None:
    graph = onnx.parser.parse_graph("g (float[n,64] x) => (float[n,64] y) { y = MatMul(x, w) }")
    graph.initializer.append(numpy_helper.from_array(np.eye(64, dtype=np.float32), "w"))
    whole = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    path = tmp_path / "out.onnx"
    arguments = {"external_initializers_file_path": "out.bin", "external_initializers_size_threshold": 1000}
    compiler(runtime, whole.SerializeToString(), **arguments).compile_to_file(str(path))
    assert (tmp_path / "out.bin").stat().st_size >= 64 * 64 * 4
    assert path.stat().st_size < 64 * 64 * 4
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.ones((1, 64), np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)


@pytest.mark.parametrize("runtime", BOTH)
def test_models_that_are_none_are_refused(runtime: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        compiler(runtime, 5)
    with pytest.raises(Exception, match=r"not exist|doesn't exist|failed"):
        compiler(runtime, str(tmp_path / "missing.onnx")).compile_to_bytes()


def test_the_options_that_are_given_stay_as_they_are(tmp_path: Path) -> None:
    options = ort_rs.SessionOptions()
    ort_rs.ModelCompiler(options, CASTS).compile_to_file(tmp_path / "out.onnx")
    assert options.optimized_model_filepath == ""
    assert options.graph_optimization_level == ort_rs.GraphOptimizationLevel.ORT_ENABLE_ALL


def weighted(folder: Path) -> Path:
    """A model with one weight in a file beside it, and one inside."""
    proto = onnx.ModelProto.FromString(
        model("g (float[1,8] x, float[8,8] w, float[8] b) => (float[1,8] y) { a = MatMul(x, w) y = Add(a, b) }")
    )
    del proto.graph.input[1:]
    arrays = {"w": np.arange(64, dtype=np.float32).reshape(8, 8), "b": np.ones(8, np.float32)}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    path = folder / "weighted.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=100)
    return path


def test_the_program_says_where_weights_go(tmp_path: Path) -> None:
    source = str(weighted(tmp_path))

    def placed(runtime: ModuleType) -> Any:
        seen = {}

        def locate(name: str, value: Any, info: Any) -> Any:
            seen[name] = value.shape(), value.tensor_size_in_bytes(), info and (info.filepath, info.file_offset, info.byte_size)
            if info is not None:
                return info
            (tmp_path / "other.bin").write_bytes(value.numpy().tobytes())
            return runtime.OrtExternalInitializerInfo("other.bin", 0, value.tensor_size_in_bytes())

        path = tmp_path / f"{runtime.__name__}.onnx"
        compiler(runtime, source, get_initializer_location_func=locate).compile_to_file(str(path))
        external = {t.name: {e.key: e.value for e in t.external_data} for t in onnx.load(path, load_external_data=False).graph.initializer}
        (y,) = runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": np.ones((1, 8), np.float32)})
        return seen, external, y

    assert_same(placed)
    assert_same(lambda runtime: compiler(runtime, source, get_initializer_location_func=lambda *_: 5).compile_to_bytes(), text=False)
    assert_same(lambda runtime: compiler(runtime, source, get_initializer_location_func=lambda *_: 1 / 0).compile_to_bytes(), text=False)
    both_ways = {"get_initializer_location_func": print, "external_initializers_file_path": "weights"}
    assert_same(lambda runtime: compiler(runtime, source, **both_ways))


@pytest.mark.parametrize("source", [b"", "", 5])
def test_no_model_at_all(source: Any) -> None:
    assert_same(lambda runtime: compiler(runtime, source))


def test_functions_for_what_is_compiled() -> None:
    assert_same(lambda runtime: compiler(runtime).set_ep_context_data_write_func(5), text=False)

    def taken(runtime: ModuleType) -> Any:
        made = compiler(runtime)
        made.set_ep_context_data_write_func(lambda _name, _data: None)
        made.clear_ep_context_data_write_func()
        return len(made.compile_to_bytes()) > 0

    assert_same(taken)
