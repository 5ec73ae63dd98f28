"""The session and what prepares its arguments, where ONNX Runtime has them."""

from ort_rs._compiler import (
    ModelCompiler,
    make_get_initializer_location_func_wrapper,
)
from ort_rs._core import (
    AdapterFormat,
    InferenceSession,
    IOBinding,
    OrtDevice,
    OrtValue,
    Session,
    SparseTensor,
    check_and_normalize_provider_args,
    copy_tensors,
)
from ort_rs._devices import get_ort_device_type, get_vendor_id_for_device_type
from ort_rs._enums import (
    OrtDeviceVendorId,
)

__all__ = [
    "AdapterFormat",
    "IOBinding",
    "InferenceSession",
    "ModelCompiler",
    "OrtDevice",
    "OrtDeviceVendorId",
    "OrtValue",
    "Session",
    "SparseTensor",
    "check_and_normalize_provider_args",
    "copy_tensors",
    "get_ort_device_type",
    "get_vendor_id_for_device_type",
    "make_get_initializer_location_func_wrapper",
]
