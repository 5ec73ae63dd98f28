"""ort_rs in the place of ONNX Runtime."""

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

import ort_rs

CHECK = f"""
import importlib.metadata
import numpy as np
import onnxruntime, onnxruntime as ort
import onnxruntime.capi.onnxruntime_pybind11_state as state
from onnxruntime import InferenceSession, datasets
from onnxruntime.capi._pybind_state import Fail
from onnxruntime.capi.onnxruntime_inference_collection import check_and_normalize_provider_args
import ort_rs

assert ort.InferenceSession is ort_rs.InferenceSession is InferenceSession
assert state.Fail is Fail is ort_rs.capi.onnxruntime_pybind11_state.Fail
assert onnxruntime.capi.onnxruntime_pybind11_state is state
assert ort.__version__ == importlib.metadata.version("onnxruntime") == "{onnxruntime.__version__}", ort.__version__
assert ort_rs.__spec__.name == "ort_rs" and ort_rs.capi.__spec__.name == "ort_rs.capi"
assert "InferenceSession" in dir(ort)
session = ort.InferenceSession(datasets.get_example("mul_1.onnx"), providers=ort.get_available_providers())
(y,) = session.run(None, {{"X": np.ones((3, 2), np.float32)}})
assert y.tolist() == [[1, 2], [3, 4], [5, 6]]
try:
    ort.no_such_name
except AttributeError as error:
    assert "ort_rs" in str(error)
else:
    raise AssertionError
try:
    import onnxruntime.no_such_module
except ModuleNotFoundError:
    pass
"""


def run(*arguments: str, **kwargs: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=kwargs.get("cwd"))


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_script_runs_with_ort_rs(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 5\n")
    script = tmp_path / "script.py"
    script.write_text(f"{CHECK}\nimport sys, beside\nassert __name__ == '__main__'\nprint(sys.argv[1:], beside.value)\n")
    assert ok(run("-m", "ort_rs.as_onnxruntime", str(script), "a", "-b")) == "['a', '-b'] 5\n"
    assert ok(run("-m", "ort_rs.as_onnxruntime", "-m", "script", "c", cwd=tmp_path)) == "['c'] 5\n"


def test_a_program_installs_it_itself() -> None:
    ok(run("-c", f"import ort_rs\nort_rs.install_as_onnxruntime()\nort_rs.install_as_onnxruntime()\n{CHECK}"))


def test_usage_is_told() -> None:
    done = run("-m", "ort_rs.as_onnxruntime")
    assert done.returncode != 0
    assert "usage: python -m ort_rs.as_onnxruntime" in done.stderr


def test_too_late_is_an_error() -> None:
    # This process has imported ONNX Runtime.
    with pytest.raises(RuntimeError, match="imported before"):
        ort_rs.install_as_onnxruntime()


def test_tools_without_an_installed_onnx_runtime_are_an_error(tmp_path: Path) -> None:
    # Only ort_rs and what it needs can be found there.
    for name in ("ort_rs", "numpy", "numpy.libs", "onnx"):
        source = next((Path(entry) / name for entry in sys.path if (Path(entry) / name).exists()), None)
        if source is not None:
            (tmp_path / name).symlink_to(source)
    program = """
import sys
sys.path = [p for p in sys.path if "site-packages" not in p] + [sys.argv[1]]
import ort_rs
ort_rs.install_as_onnxruntime()
import importlib.metadata
assert importlib.metadata.version("onnxruntime")
try:
    import onnxruntime.quantization
except ModuleNotFoundError as error:
    print(error)
"""
    assert "is taken from an installed onnxruntime, and there is none" in ok(run("-I", "-c", program, str(tmp_path)))


QUANTIZE = """
import ort_rs
ort_rs.install_as_onnxruntime()
import numpy as np, onnx, sys
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import quantize_dynamic, QuantType

graph = onnx.parser.parse_graph("g (float[n,8] x) => (float[n,4] y) { y = MatMul(x, w) }")
weights = np.random.default_rng(1).standard_normal((8, 4), dtype=np.float32)
graph.initializer.append(numpy_helper.from_array(weights, "w"))
model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, "plain.onnx")
quantize_dynamic("plain.onnx", "quantized.onnx", weight_type=QuantType.QInt8)
x = np.random.default_rng(2).standard_normal((3, 8), dtype=np.float32)
run = lambda path: onnxruntime.InferenceSession(path).run(None, {"x": x})[0]
np.testing.assert_allclose(run("quantized.onnx"), run("plain.onnx"), atol=0.1)
assert "onnxruntime.capi.onnxruntime_pybind11_state" not in sys.modules or \
    sys.modules["onnxruntime.capi.onnxruntime_pybind11_state"].InferenceSession is ort_rs.InferenceSession
"""


def test_the_tools_of_an_installed_onnx_runtime_drive_ort_rs(tmp_path: Path) -> None:
    ok(run("-c", QUANTIZE, cwd=tmp_path))
