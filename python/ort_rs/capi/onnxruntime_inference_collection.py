"""The session and what prepares its arguments, where ONNX Runtime has them."""

from ort_rs._core import (
    InferenceSession,
    IOBinding,
    OrtDevice,
    OrtValue,
    SparseTensor,
    check_and_normalize_provider_args,
    copy_tensors,
)
from ort_rs._enums import OrtDeviceVendorId

__all__ = [
    "IOBinding",
    "InferenceSession",
    "OrtDevice",
    "OrtDeviceVendorId",
    "OrtValue",
    "SparseTensor",
    "check_and_normalize_provider_args",
    "copy_tensors",
]
