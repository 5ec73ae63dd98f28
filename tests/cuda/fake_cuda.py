"""Scripts in processes of their own, on a CUDA driver without a device."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CUDA = "CUDAExecutionProvider"

# Makes a small perceptron; `session` loads it.
PERCEPTRON = """
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

def fails(kind, text, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as e:
        assert text in str(e), e
    else:
        raise AssertionError(f"{text!r} was not said")
"""


def python(script: str, driver: Path | None, **settings: str) -> str:
    """What a script prints that comes after the perceptron, in a process that finds the driver."""
    environment = {**os.environ, **settings}
    if driver:
        environment["LD_LIBRARY_PATH"] = str(driver)
    done = subprocess.run([sys.executable, "-c", PERCEPTRON + script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@functools.cache
def driver_with_kernels() -> Path:
    """The folder of the driver, where the package has kernels for it; cuBLASLt is in `blas` beside it. Without one, the test is skipped."""
    if not shutil.which("make") or not shutil.which("g++"):
        pytest.skip("there is no make or no g++")
    out = ROOT / "target" / "cuda_shim"
    command = ["make", "-s", "-j2", "driver", "blas", f"OUT={out}"]
    subprocess.run(command, cwd=ROOT / "kernels_cuda" / "shim", check=True)
    driver = out / "driver"
    if CUDA not in python("print(ort_rs.get_available_providers())", driver):
        pytest.skip("the package was built without CUDA kernels")
    return driver
