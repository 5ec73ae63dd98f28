"""The modules under which ONNX Runtime keeps its native classes, for programs that import from there."""

from ort_rs.capi import _pybind_state, onnxruntime_pybind11_state

__all__ = ["_pybind_state", "onnxruntime_pybind11_state"]
