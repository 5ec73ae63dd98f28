"""The package as a whole: its names, its types, its documentation."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import onnxruntime

import ort_rs
from ort_rs import _core
from ort_rs.capi import _pybind_state, onnxruntime_pybind11_state


def test_version() -> None:
    assert ort_rs.__version__ == ort_rs.get_version_string()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", ort_rs.__version__)
    assert "Build Info" in ort_rs.get_build_info()


def test_providers_and_device() -> None:
    assert ort_rs.get_available_providers()[-1] == "CPUExecutionProvider"
    assert ort_rs.get_all_providers()[-1] == "CPUExecutionProvider"
    assert ort_rs.get_device() == "CPU"


def test_it_is_typed() -> None:
    assert (Path(ort_rs.__file__).parent / "py.typed").is_file()


def test_names_are_there() -> None:
    for name in ("ort_rs", "ort_rs.capi.onnxruntime_pybind11_state", "ort_rs.capi.onnxruntime_inference_collection", "ort_rs.backend"):
        module = importlib.import_module(name)
        assert sorted(module.__all__) == sorted(set(module.__all__))
        assert all(hasattr(module, member) for member in module.__all__)


def test_names_are_those_of_onnx_runtime() -> None:
    # What ONNX Runtime has no name for: what stands in for it, and what goes beyond.
    own = {"__version__", "install_as_onnxruntime", "custom_op", "doctor", "BadNode", "CustomOp", "Diagnosis", "ExplainedNode"}
    own |= {"Explanation", "MemoryUse", "RunTimeout", "Spending", "Spent", "Statistics", "TensorInfo"}
    assert set(ort_rs.__all__) - own <= set(dir(onnxruntime))
    assert set(onnxruntime_pybind11_state.__all__) <= set(dir(onnxruntime.capi.onnxruntime_pybind11_state))


def test_exceptions() -> None:
    theirs = onnxruntime.capi.onnxruntime_pybind11_state
    names = [name for name in dir(theirs) if isinstance(getattr(theirs, name), type) and issubclass(getattr(theirs, name), Exception)]
    for name in names:
        ours = getattr(onnxruntime_pybind11_state, name)
        assert ours.__bases__ == (Exception,)
        assert (ours.__module__, ours.__name__) == ("ort_rs.capi.onnxruntime_pybind11_state", name)
        assert ours is getattr(_pybind_state, name) is getattr(_core, name)


def test_import_is_light() -> None:
    code = "import sys, ort_rs; assert not {'onnx', 'ml_dtypes', 'onnxruntime'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stubs_are_complete() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", "ort_rs._core"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
