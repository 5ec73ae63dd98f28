"""ort_rs: an inference runtime for ONNX models, with the Python API of ONNX Runtime.

>>> import ort_rs
>>> session = ort_rs.InferenceSession("model.onnx")  # doctest: +SKIP
>>> outputs = session.run(None, {"x": x})  # doctest: +SKIP
"""

from ort_rs._core import (
    InferenceSession,
    ModelMetadata,
    NodeArg,
    OrtArenaCfg,
    OrtDevice,
    OrtMemoryInfo,
    OrtValue,
    RunOptions,
    SessionOptions,
    SparseTensor,
    __version__,
    copy_tensors,
    create_and_register_allocator,
    create_and_register_allocator_v2,
    get_all_providers,
    get_available_providers,
    get_build_info,
    get_device,
    get_version_string,
)
from ort_rs._enums import (
    ExecutionMode,
    ExecutionOrder,
    GraphOptimizationLevel,
    OrtAllocatorType,
    OrtDeviceMemoryType,
    OrtDeviceVendorId,
    OrtMemoryInfoDeviceType,
    OrtMemType,
    OrtSparseFormat,
)

__all__ = [
    "ExecutionMode",
    "ExecutionOrder",
    "GraphOptimizationLevel",
    "InferenceSession",
    "ModelMetadata",
    "NodeArg",
    "OrtAllocatorType",
    "OrtArenaCfg",
    "OrtDevice",
    "OrtDeviceMemoryType",
    "OrtDeviceVendorId",
    "OrtMemType",
    "OrtMemoryInfo",
    "OrtMemoryInfoDeviceType",
    "OrtSparseFormat",
    "OrtValue",
    "RunOptions",
    "SessionOptions",
    "SparseTensor",
    "__version__",
    "copy_tensors",
    "create_and_register_allocator",
    "create_and_register_allocator_v2",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_version_string",
]
