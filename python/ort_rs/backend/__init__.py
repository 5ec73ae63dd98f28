"""The interface that the ONNX project defines for backends, so that its test runner can drive ort_rs."""

from ort_rs.backend.backend import OnnxRuntimeBackend, is_compatible, prepare, run, run_model, supports_device
from ort_rs.backend.backend_rep import OnnxRuntimeBackendRep

__all__ = ["OnnxRuntimeBackend", "OnnxRuntimeBackendRep", "is_compatible", "prepare", "run", "run_model", "supports_device"]
