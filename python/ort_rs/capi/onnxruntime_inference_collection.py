"""The session and what prepares its arguments, where ONNX Runtime has them."""

from ort_rs._core import InferenceSession, check_and_normalize_provider_args

__all__ = ["InferenceSession", "check_and_normalize_provider_args"]
