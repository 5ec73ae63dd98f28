"""The second name under which ONNX Runtime has its native classes."""

from ort_rs.capi.onnxruntime_pybind11_state import *  # noqa: F403
