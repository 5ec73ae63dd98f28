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
