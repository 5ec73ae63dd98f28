"""ort_rs: an inference runtime for ONNX models, with the Python API of ONNX Runtime.

>>> import ort_rs
>>> session = ort_rs.InferenceSession("model.onnx")  # doctest: +SKIP
>>> outputs = session.run(None, {"x": x})  # doctest: +SKIP
"""

from ort_rs import capi
from ort_rs._compiler import (
    ModelCompiler,
    OrtExternalInitializerInfo,
)
from ort_rs._core import (
    AdapterFormat,
    BadNode,
    ExplainedNode,
    Explanation,
    InferenceSession,
    IOBinding,
    LoraAdapter,
    MemoryUse,
    ModelMetadata,
    NodeArg,
    OrtArenaCfg,
    OrtDevice,
    OrtEpAssignedNode,
    OrtEpAssignedSubgraph,
    OrtEpDevice,
    OrtHardwareDevice,
    OrtMemoryInfo,
    OrtValue,
    RunOptions,
    SessionIOBinding,
    SessionOptions,
    SparseTensor,
    Spending,
    Spent,
    Statistics,
    __version__,
    copy_tensors,
    create_and_register_allocator,
    create_and_register_allocator_v2,
    get_all_providers,
    get_available_providers,
    get_build_info,
    get_device,
    get_ep_devices,
    get_version_string,
    set_default_logger_severity,
    set_default_logger_verbosity,
    set_global_thread_pool_sizes,
    set_seed,
)
from ort_rs._custom_op import (
    CustomOp,
    TensorInfo,
    custom_op,
)
from ort_rs._debug import (
    _get_nvidia_dll_paths as _get_nvidia_dll_paths,
)
from ort_rs._debug import (
    preload_dlls,
    print_debug_info,
)
from ort_rs._doctor import (
    Diagnosis,
    doctor,
)
from ort_rs._enums import (
    ExecutionMode,
    ExecutionOrder,
    GraphOptimizationLevel,
    OrtAllocatorType,
    OrtCompileApiFlags,
    OrtDeviceMemoryType,
    OrtDeviceVendorId,
    OrtExecutionProviderDevicePolicy,
    OrtHardwareDeviceType,
    OrtMemoryInfoDeviceType,
    OrtMemType,
    OrtSparseFormat,
)
from ort_rs._errors import (
    RunTimeout,
)
from ort_rs._install import (
    install_as_onnxruntime,
)
from ort_rs._process import (
    disable_telemetry_events,
    enable_telemetry_events,
    has_collective_ops,
    register_execution_provider_library,
    unregister_execution_provider_library,
)
from ort_rs._provider_data import (
    OrtEpContextData,
    OrtEpContextDataBuffer,
    OrtSyncStream,
)
from ort_rs.capi.onnxruntime_validation import get_package_name_and_version_info

package_name, version, cuda_version = get_package_name_and_version_info()
# Why the native module could not be imported: programs look here before they use it, and then nothing was wrong.
import_capi_exception: Exception | None = None

__all__ = [
    "AdapterFormat",
    "BadNode",
    "CustomOp",
    "Diagnosis",
    "ExecutionMode",
    "ExecutionOrder",
    "ExplainedNode",
    "Explanation",
    "GraphOptimizationLevel",
    "IOBinding",
    "InferenceSession",
    "LoraAdapter",
    "MemoryUse",
    "ModelCompiler",
    "ModelMetadata",
    "NodeArg",
    "OrtAllocatorType",
    "OrtArenaCfg",
    "OrtCompileApiFlags",
    "OrtDevice",
    "OrtDeviceMemoryType",
    "OrtDeviceVendorId",
    "OrtEpAssignedNode",
    "OrtEpAssignedSubgraph",
    "OrtEpContextData",
    "OrtEpContextDataBuffer",
    "OrtEpDevice",
    "OrtExecutionProviderDevicePolicy",
    "OrtExternalInitializerInfo",
    "OrtHardwareDevice",
    "OrtHardwareDeviceType",
    "OrtMemType",
    "OrtMemoryInfo",
    "OrtMemoryInfoDeviceType",
    "OrtSparseFormat",
    "OrtSyncStream",
    "OrtValue",
    "RunOptions",
    "RunTimeout",
    "SessionIOBinding",
    "SessionOptions",
    "SparseTensor",
    "Spending",
    "Spent",
    "Statistics",
    "TensorInfo",
    "__version__",
    "capi",
    "copy_tensors",
    "create_and_register_allocator",
    "create_and_register_allocator_v2",
    "cuda_version",
    "custom_op",
    "disable_telemetry_events",
    "doctor",
    "enable_telemetry_events",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_ep_devices",
    "get_version_string",
    "has_collective_ops",
    "import_capi_exception",
    "install_as_onnxruntime",
    "package_name",
    "preload_dlls",
    "print_debug_info",
    "register_execution_provider_library",
    "set_default_logger_severity",
    "set_default_logger_verbosity",
    "set_global_thread_pool_sizes",
    "set_seed",
    "unregister_execution_provider_library",
    "version",
]
