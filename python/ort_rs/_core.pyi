"""The native module: what it has, and the types of it."""

import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, final, overload

from typing_extensions import Buffer, disjoint_base

from ort_rs._custom_op import CustomOp as PythonOp
from ort_rs._enums import (
    ExecutionMode,
    ExecutionOrder,
    GraphOptimizationLevel,
    OrtAllocatorType,
    OrtDeviceMemoryType,
    OrtExecutionProviderDevicePolicy,
    OrtHardwareDeviceType,
    OrtMemoryInfoDeviceType,
    OrtMemType,
    OrtSparseFormat,
)

__all__ = [
    "AdapterFormat",
    "BadNode",
    "CoreSession",
    "CustomOp",
    "DeviceReset",
    "EPFail",
    "EngineError",
    "ExplainedNode",
    "Explanation",
    "Fail",
    "IOBinding",
    "InferenceSession",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "LoraAdapter",
    "MemoryUse",
    "ModelLoadCanceled",
    "ModelLoaded",
    "ModelMetadata",
    "ModelRequiresCompilation",
    "NoModel",
    "NoSuchFile",
    "NodeArg",
    "NotFound",
    "NotImplemented",
    "OrtArenaCfg",
    "OrtDevice",
    "OrtEpAssignedNode",
    "OrtEpAssignedSubgraph",
    "OrtEpDevice",
    "OrtHardwareDevice",
    "OrtMemoryInfo",
    "OrtValue",
    "OrtValueVector",
    "RunOptions",
    "Running",
    "RuntimeException",
    "Session",
    "SessionIOBinding",
    "SessionOptions",
    "SparseBlockSparseView",
    "SparseCooView",
    "SparseCsrView",
    "SparseTensor",
    "Spending",
    "Spent",
    "Statistics",
    "__version__",
    "check_and_normalize_provider_args",
    "cli",
    "copy_tensors",
    "create_and_register_allocator",
    "create_and_register_allocator_v2",
    "diagnose",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_ep_devices",
    "get_version_string",
    "is_dlpack_uint8_tensor",
    "model_metadata",
    "pack_fp4_weights_for_cuda_moe_gemm",
    "quantize_matmul_2bits",
    "quantize_matmul_4bits",
    "quantize_matmul_8bits",
    "quantize_matmul_bnb4",
    "quantize_qdq_matmul_2bits",
    "quantize_qdq_matmul_4bits",
    "registered_operators",
    "set_default_logger_severity",
    "set_default_logger_verbosity",
    "set_global_thread_pool_sizes",
    "set_seed",
]

__version__: str

class Fail(Exception):
    """A general failure."""

class InvalidArgument(Exception):
    """A feed, an option or an attribute that cannot be used."""

class NoSuchFile(Exception):
    """A file that is not there."""

class NoModel(Exception):
    """No model where one is needed."""

class EngineError(Exception):
    """A failure inside the engine."""

class RuntimeException(Exception):
    """A failure while a node runs."""

class InvalidProtobuf(Exception):
    """Bytes that are no ONNX protobuf."""

class ModelLoaded(Exception):
    """A session that has its model already."""

class NotImplemented(Exception):  # noqa: A001
    """An operator or type without a kernel."""

class InvalidGraph(Exception):
    """A model that breaks the ONNX specification."""

class EPFail(Exception):
    """A provider that failed."""

class NotFound(Exception):
    """Something looked up by name that is not there."""

class ModelRequiresCompilation(Exception):
    """A model that a provider would have to compile, where that is forbidden."""

class ModelLoadCanceled(Exception):
    """A load that was cancelled."""

class DeviceReset(Exception):
    """A device that was reset while it was used."""

@final
class NodeArg:
    """An input or output of a model."""

    @property
    def name(self) -> str:
        """Its name."""
    @property
    def type(self) -> str:
        """Its type, such as `tensor(float)`."""
    @property
    def shape(self) -> list[int | str | None]:
        """The sizes of its axes: numbers, names, or `None` for any size; empty when even their number is unknown."""

@final
class ModelMetadata:
    """What a model says of itself."""

    @property
    def producer_name(self) -> str:
        """The program that made the model."""
    @property
    def graph_name(self) -> str:
        """The name of its graph."""
    @property
    def domain(self) -> str:
        """The domain of the model."""
    @property
    def description(self) -> str:
        """The description of the model."""
    @property
    def graph_description(self) -> str:
        """The description of its graph."""
    @property
    def version(self) -> int:
        """The version of the model; the largest 64-bit number when it has none."""
    @property
    def custom_metadata_map(self) -> dict[str, str]:
        """Whatever else its maker wrote."""

@final
class OrtDevice:
    """Where memory lies: the kind of device, its number, its vendor, and which of its memories."""

    @overload
    def __new__(cls, device: OrtDevice, /) -> OrtDevice:
        """Make a device like another one."""
    @overload
    def __new__(cls, kind: int, memory: int, id: int, /) -> OrtDevice:
        """Make a device from the numbers of its kind, its memory, and itself."""
    @overload
    def __new__(cls, kind: int, memory: int, vendor: int, id: int, /) -> OrtDevice:
        """Make a device from the numbers of its kind, its memory, its vendor, and itself."""
    @staticmethod
    def make(ort_device_name: str, device_id: int, vendor_id: int = -1) -> OrtDevice:
        """Give the device of a kind (`cpu`, `cuda`, `dml`, `cann`, `webgpu`, `gpu`, `npu`) with the number `device_id`."""
    def device_id(self) -> int:
        """Tell which device of its kind it is."""
    def device_type(self) -> int:
        """Give the number of its kind: 0 for the CPU, 1 for a GPU, 2 for an FPGA, 3 for an NPU."""
    def device_vendor_id(self) -> int:
        """Give its vendor, an `OrtDeviceVendorId` where there is one."""
    def vendor_id(self) -> int:
        """Give the number of its vendor on the PCI bus; 0 for none."""
    def device_mem_type(self) -> int:
        """Tell which of its memories is meant: 0 for its own, 5 for one that the host can touch."""
    def mem_type(self) -> int:
        """Tell which of its memories is meant: 0 for its own, 5 for one that the host can touch."""
    @staticmethod
    def cpu() -> int:
        """Give the number of the kind of CPUs."""
    @staticmethod
    def cuda() -> int:
        """Give the number of the kind of GPUs, as a CUDA device."""
    @staticmethod
    def gpu() -> int:
        """Give the number of the kind of GPUs."""
    @staticmethod
    def webgpu() -> int:
        """Give the number of the kind of GPUs, as a WebGPU device."""
    @staticmethod
    def fpga() -> int:
        """Give the number of the kind of FPGAs."""
    @staticmethod
    def npu() -> int:
        """Give the number of the kind of NPUs."""
    @staticmethod
    def cann() -> int:
        """Give the number of the kind of NPUs, as a CANN device."""
    @staticmethod
    def dml() -> int:
        """Give the number that ONNX Runtime has for DirectML devices."""
    @staticmethod
    def default_memory() -> int:
        """Give the number of a device's own memory."""
    def _get_c_device(self) -> OrtDevice: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class OrtMemoryInfo:
    """A description of memory: where it lies, and how it is handed out."""

    def __new__(
        cls,
        name: str,
        allocator_type: OrtAllocatorType,
        id: int,  # noqa: A002
        mem_type: OrtMemType,
    ) -> OrtMemoryInfo:
        """Describe the memory called `name` (`Cpu`, `Cuda`, `CudaPinned`, `DML` …) of the device `id`."""
    @staticmethod
    def create_v2(
        name: str,
        device_type: OrtMemoryInfoDeviceType,
        vendor_id: int,
        device_id: int,
        device_mem_type: OrtDeviceMemoryType,
        alignment: int,
        allocator_type: OrtAllocatorType,
    ) -> OrtMemoryInfo:
        """Describe any memory of any device; `alignment` in bytes."""
    @property
    def name(self) -> str:
        """Its name."""
    @property
    def device_id(self) -> int:
        """Which device of its kind it belongs to."""
    @property
    def mem_type(self) -> OrtMemType:
        """What it is for."""
    @property
    def allocator_type(self) -> OrtAllocatorType:
        """How it is handed out."""
    @property
    def device_mem_type(self) -> OrtDeviceMemoryType:
        """Which memory of the device it is."""
    @property
    def device_vendor_id(self) -> int:
        """The number of the device's vendor on the PCI bus; 0 for none."""

@final
class OrtArenaCfg:
    """How an arena grows; -1 leaves a choice to the runtime.

    The values are kept and read back. Memory of the CPU comes from the system's allocator and from memory that sessions plan and
    keep, which need none of them.
    """

    max_mem: int
    """The most bytes that the arena may take; 0 for no limit."""
    arena_extend_strategy: int
    """0 to double, 1 to take as much as is asked for."""
    initial_chunk_size_bytes: int
    """Bytes of the first chunk."""
    max_dead_bytes_per_chunk: int
    """Bytes that a chunk may leave unused."""
    initial_growth_chunk_size_bytes: int
    """Bytes of the first chunk after the arena has shrunk."""
    max_power_of_two_extend_bytes: int
    """The most bytes by which a doubling arena grows at once."""

    @overload
    def __new__(cls, settings: dict[str, int], /) -> OrtArenaCfg:
        """Take settings by name."""
    @overload
    def __new__(
        cls, max_mem: int, arena_extend_strategy: int, initial_chunk_size_bytes: int, max_dead_bytes_per_chunk: int, /
    ) -> OrtArenaCfg:
        """Take the four oldest settings."""

@final
class OrtValue:
    """A value that lives outside of numpy: a tensor, a sparse tensor, a sequence, a map, or nothing.

    One class stands for both of ONNX Runtime's, the one in Python and the native one behind it.
    """

    def __new__(cls, ortvalue: OrtValue, numpy_obj: Any = None, session: Any = None) -> OrtValue:
        """Share the value that `ortvalue` is; `numpy_obj` and `session` are not needed."""
    @staticmethod
    def _of_array(array: Any) -> OrtValue: ...
    @staticmethod
    def ortvalue_from_numpy(numpy_obj: Any, /, device_type: str | OrtDevice = "cpu", device_id: int = 0, vendor_id: int = -1) -> OrtValue:
        """Give a tensor over the memory of an array of numbers, which it keeps; over a copy where the array is not dense.

        `device_type` is the name of a device or an `OrtDevice`; on a CUDA device lies a copy. Raises `RuntimeError` for text and for
        devices that cannot be reached.
        """
    @staticmethod
    def ortvalue_from_numpy_with_onnx_type(data: Any, /, onnx_element_type: int) -> OrtValue:
        """Give a tensor over the memory of an array whose bytes are elements of the ONNX type with a number.

        Raises `RuntimeError` when the items of the array are of another width.
        """
    @staticmethod
    def ortvalue_from_shape_and_type(
        shape: Iterable[int],
        element_type: Any,
        device_type: str | OrtDevice = "cpu",
        device_id: int = 0,
        vendor_id: int = -1,
        memory_info: OrtMemoryInfo | None = None,
    ) -> OrtValue:
        """Give a tensor of `shape` whose elements, of a type of numpy or the ONNX type with a number, are zeros.

        With a `memory_info`, memory is taken from the allocator that was registered for it, else it is that of the named device.
        """
    @staticmethod
    def ortvalue_from_shape_and_onnx_type(shape: Iterable[int], element_type: int, device: OrtDevice) -> OrtValue:
        """Do as `ortvalue_from_shape_and_type`, by the number of the ONNX type."""
    @staticmethod
    def ortvalue_from_shape_and_type_for_memory_info(shape: Iterable[int], element_type: Any, memory_info: OrtMemoryInfo) -> OrtValue:
        """Do as `ortvalue_from_shape_and_type`, in memory of the allocator that was registered for `memory_info`."""
    @staticmethod
    def ortvalue_from_shape_and_onnx_type_for_memory_info(shape: Iterable[int], element_type: int, memory_info: OrtMemoryInfo) -> OrtValue:
        """Do as `ortvalue_from_shape_and_onnx_type`, in memory of the allocator that was registered for `memory_info`."""
    @staticmethod
    def ort_value_from_sparse_tensor(sparse_tensor: SparseTensor) -> OrtValue:
        """Share the value that a sparse tensor is."""
    @staticmethod
    def from_dlpack(data: Any, /, is_bool_tensor: bool = False) -> OrtValue:
        """Borrow the tensor that a capsule or an object with `__dlpack__` or `__cuda_array_interface__` lends, without a copy.

        `is_bool_tensor` takes elements of `uint8` for booleans. Raises `TypeError` for what lends nothing, `RuntimeError` for
        elements, layouts and devices that cannot be used.
        """
    def as_sparse_tensor(self) -> SparseTensor:
        """Give the sparse tensor that it is; `RuntimeError` for anything else."""
    def data_ptr(self) -> int:
        """Give the address of the first element of a tensor; 0 when there is none."""
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Tell other libraries of a tensor on a CUDA device; `AttributeError` for any other value."""
    def device_name(self) -> str:
        """Give the kind of device that it lies on."""
    def shape(self) -> list[int]:
        """Give the sizes of the axes of a tensor, sparse or not."""
    def data_type(self) -> str:
        """Give its type, such as `tensor(float)`."""
    def element_type(self) -> int:
        """Give the number of the ONNX type of its elements; `RuntimeError` when they are no tensors."""
    def tensor_size_in_bytes(self) -> int:
        """Give the bytes that a tensor of numbers takes."""
    def has_value(self) -> bool:
        """Tell whether there is a value at all."""
    def is_tensor(self) -> bool:
        """Tell whether it is a tensor."""
    def is_sparse_tensor(self) -> bool:
        """Tell whether it is a sparse tensor."""
    def is_tensor_sequence(self) -> bool:
        """Tell whether it is a sequence."""
    def numpy(self) -> Any:
        """Give an array over the memory of a tensor of numbers: writing to one shows in the other.

        Text is copied, and so is what lies on a device.

        Types that numpy lacks come as those of `ml_dtypes`. Raises `RuntimeError` for anything but tensors.
        """
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Give the array of `numpy`, converted to `dtype`; `ValueError` when that takes a copy and `copy` is false."""
    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: tuple[int, int] | None = None, copy: bool | None = None
    ) -> Any:
        """Lend the tensor to another library in a capsule, without a copy unless one is asked for; booleans as `uint8`."""
    def __dlpack_device__(self) -> tuple[int, int]:
        """Give the device that the tensor lies on: `(1, 0)` for the CPU, 2 and its number for a CUDA device."""
    def to_dlpack(self) -> Any:
        """Do as `__dlpack__`."""
    def update_inplace(self, data: Any) -> None:
        """Overwrite the elements of a tensor by those of an array or another value, of the same type and number.

        Raises `TypeError` for anything else, `RuntimeError` when type or number differ.
        """
    def _get_c_value(self) -> OrtValue: ...
    @property
    def _ortvalue(self) -> OrtValue: ...

@final
class OrtValueVector:
    """A list of values, as ONNX Runtime's native calls take and give it."""

    def __new__(cls) -> OrtValueVector:
        """Make an empty list."""
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> OrtValue: ...
    def __iter__(self) -> Iterator[OrtValue]: ...
    def push_back(self, value: Any, is_bool_tensor: bool = False) -> None:
        """Append a value, or the tensor that a capsule of DLPack lends."""
    def push_back_batch(
        self, tensors: list[Any], data_ptrs: list[int], element_types: list[Any], shapes: list[Sequence[int]], devices: list[OrtDevice]
    ) -> None:
        """Append tensors over memory that the objects `tensors` own: at addresses, of types and shapes, on devices, one of each a tensor.

        Raises `ValueError` when the lists differ in length, `RuntimeError` for memory of a device that the host cannot reach.
        """
    def reserve(self, count: int) -> None:
        """Make room for `count` values."""
    def shrink_to_fit(self) -> None:
        """Let go of room that is not used."""
    def bool_tensor_indices(self) -> list[int]:
        """Give the places of the tensors of booleans, which DLPack lends as `uint8`."""
    def element_type_at(self, idx: int) -> int:
        """Give the number of the ONNX type of the elements of value `idx`."""
    def dlpack_at(self, index: int) -> Any:
        """Give a capsule of DLPack that lends value `index`."""
    def to_dlpacks(self, to_tensor: Callable[[Any], Any] | None) -> list[Any]:
        """Give capsules of DLPack that lend the values, each passed through `to_tensor` if there is one."""

@final
class SparseTensor:
    """An array of mostly zeros, kept as its other elements and their places."""

    def __new__(cls, sparse_tensor: SparseTensor) -> SparseTensor:
        """Share the sparse tensor that `sparse_tensor` is."""
    @staticmethod
    def sparse_coo_from_numpy(dense_shape: Any, values: Any, coo_indices: Any, ort_device: OrtDevice) -> SparseTensor:
        """Give the tensor of `dense_shape` with `values` at `coo_indices`: flat ones, or one row of coordinates each."""
    @staticmethod
    def sparse_csr_from_numpy(dense_shape: Any, values: Any, inner_indices: Any, outer_indices: Any, ort_device: OrtDevice) -> SparseTensor:
        """Give the matrix of `dense_shape` with `values` in the columns `inner_indices`, whose rows begin at `outer_indices`."""
    @staticmethod
    def blocksparse_from_numpy(dense_shape: Any, values: Any, indices: Any, ort_device: OrtDevice) -> SparseTensor:
        """Give the tensor of `dense_shape` with the blocks `values` at `indices`, `int32` of shape `[2, blocks]`."""
    def values(self) -> Any:
        """Give the elements that are not zero, in an array that cannot be written to."""
    def as_coo_view(self) -> SparseCooView:
        """Give the places as coordinates; `RuntimeError` in another format."""
    def as_csrc_view(self) -> SparseCsrView:
        """Give the places as rows of a matrix; `RuntimeError` in another format."""
    def as_blocksparse_view(self) -> SparseBlockSparseView:
        """Give the places of blocks; `RuntimeError` in another format."""
    def get_coo_data(self) -> SparseCooView:
        """Do as `as_coo_view`."""
    def get_csrc_data(self) -> SparseCsrView:
        """Do as `as_csrc_view`."""
    def get_blocksparse_data(self) -> SparseBlockSparseView:
        """Do as `as_blocksparse_view`."""
    def to_cuda(self, ort_device: OrtDevice) -> SparseTensor:
        """Copy it to a GPU; `RuntimeError`, for this build keeps sparse tensors on the host."""
    def format(self) -> OrtSparseFormat:
        """Tell how it keeps its places."""
    def dense_shape(self) -> list[int]:
        """Give the shape of the whole array."""
    def data_type(self) -> str:
        """Give its type, such as `sparse_tensor(float)`."""
    def device_name(self) -> str:
        """Give the kind of device that it lies on."""
    def _get_c_tensor(self) -> SparseTensor: ...

@final
class SparseCooView:
    """Where the elements of a sparse tensor stand, as coordinates."""

    def indices(self) -> Any:
        """Give flat indices, or one row of coordinates for each element: `int64`, in an array that cannot be written to."""

@final
class SparseCsrView:
    """Where the elements of a sparse matrix stand, row by row."""

    def inner(self) -> Any:
        """Give the column of each element: `int64`, in an array that cannot be written to."""
    def outer(self) -> Any:
        """Give where each row begins among the elements: `int64`, in an array that cannot be written to."""

@final
class SparseBlockSparseView:
    """Where the blocks of a sparse matrix stand."""

    def indices(self) -> Any:
        """Give the rows of the blocks, then their columns: `int32`, in an array that cannot be written to."""

@final
class SessionOptions:
    """What a session is made with."""

    def __copy__(self) -> SessionOptions: ...

    graph_optimization_level: GraphOptimizationLevel
    """How far the graph is optimized."""
    execution_mode: ExecutionMode
    """Whether nodes that do not wait for each other run at the same time."""
    execution_order: ExecutionOrder
    """In which order nodes run; it is the model's in all of them."""
    intra_op_num_threads: int
    """How many threads a node may use; 0 for as many as the machine gives."""
    inter_op_num_threads: int
    """How many nodes may run at once in parallel execution; 0 for as many as there are threads, 1 for one after the other."""
    optimized_model_filepath: str
    """Where the optimized model is saved; empty for nowhere."""
    logid: str
    """A name for the session in logs."""
    log_severity_level: int
    """From which severity on the session logs; -1 for the default."""
    log_verbosity_level: int
    """How much the session logs at the lowest severity."""
    enable_profiling: bool
    """Whether a profile is written: a Chrome trace of what the session does."""
    profile_file_prefix: str
    """How the name of the profile begins."""
    enable_mem_pattern: bool
    """Whether memory is planned ahead; it always is here."""
    enable_mem_reuse: bool
    """Whether values take turns in memory; they always do here."""
    enable_cpu_mem_arena: bool
    """Whether freed memory is kept for later runs; it always is here."""
    use_deterministic_compute: bool
    """Whether results have the same bits in every run; they always have here."""
    use_per_session_threads: bool
    """Whether the session has threads of its own; sessions share the threads of the process here."""

    def __init__(self) -> None: ...
    def add_session_config_entry(self, key: str, value: str) -> None:
        """Set a further option by name (`session.*`)."""
    def get_session_config_entry(self, key: str) -> str:
        """Give a further option by name."""
    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Fix every input dimension of the given name."""
    def add_free_dimension_override_by_denotation(self, denotation: str, size: int) -> None:
        """Fix every input dimension of the given denotation, such as `DATA_BATCH`."""
    def add_initializer(self, name: str, ortvalue: OrtValue) -> None:
        """Put a tensor in the place of the model's initializer `name`, if there is one; its memory is shared."""
    def add_external_initializers(self, names: Sequence[str], ortvalues: list[OrtValue]) -> None:
        """Give the data of initializers that the model keeps in other files, which are then not read; memory is shared.

        Raises `RuntimeError` when names and values are not as many; a name that the model has not got fails when it is loaded.
        """
    def add_external_initializers_from_files_in_memory(
        self, names: Sequence[str], buffers: Sequence[Buffer], lengths: Sequence[int]
    ) -> None:
        """Give the content of files that the model keeps data in, by the location that the model names.

        `lengths` says how many bytes of each buffer count. Raises `RuntimeError` when the lists differ in length, a buffer is
        shorter than said, or a name was given before.
        """
    def _locate_initializers(self, locate: Callable[..., Any]) -> None: ...
    def add_provider(self, name: str, options: Mapping[str, str]) -> None:
        """Add a provider that sessions are to use, in the order of the calls.

        Raises `RuntimeError` for a provider that nobody has heard of, `InvalidArgument` for one that this build has not got.
        """
    def add_provider_for_devices(self, ep_devices: Sequence[OrtEpDevice], options: Mapping[str, str]) -> None:
        """Add the provider of some devices of `get_ep_devices`, all of one provider.

        Raises `InvalidArgument` without a device, or for devices of several providers.
        """
    def set_provider_selection_policy(self, policy: OrtExecutionProviderDevicePolicy) -> None:
        """Let sessions choose their devices by a policy: of those there are, the best for it."""
    def set_provider_selection_policy_delegate(
        self, delegate: Callable[[list[OrtEpDevice], dict[str, str], dict[str, str], int], list[OrtEpDevice]]
    ) -> None:
        """Let a function choose the devices of sessions.

        It gets the devices, what the model and the runtime say of themselves, and how many it may choose, and gives a list. Loading
        raises `Fail` when it fails or chooses nothing.
        """
    def set_ep_context_data_read_func(self, read_func: Callable[[str, Any], None], max_data_size: int) -> None:
        """Take who would read data that a provider keeps outside of a compiled model; no provider of this build keeps any."""
    def clear_ep_context_data_read_func(self) -> None:
        """Take back what `set_ep_context_data_read_func` was given."""
    def has_providers(self) -> bool:
        """Tell whether providers have been added, or are chosen by others."""
    def set_load_cancellation_flag(self, cancel: bool) -> None:
        """End the loading of sessions with these options as soon as it can, also from another thread, until it is taken back."""
    def register_custom_op(self, op: PythonOp) -> None:
        """Let sessions with these options run an operator that `ort_rs.custom_op` made.

        It takes the place of one of its name that is registered for all sessions.
        """
    def register_custom_ops_library(self, library_path: str | os.PathLike[str]) -> None:
        """Refuse: operators of shared libraries that are built against ONNX Runtime's C interface cannot be used yet.

        Raises `Fail` in any case, which says so, or that the library is not there.
        """

@final
class RunOptions:
    """What a run is made with."""

    terminate: bool
    """Whether runs with these options end as soon as they can; may be set while they run."""
    logid: str
    """A name for the run in logs."""
    log_severity_level: int
    """From which severity on the run logs; -1 for the session's."""
    log_verbosity_level: int
    """How much the run logs at the lowest severity."""
    only_execute_path_to_fetches: bool
    """Whether only what the fetched outputs need is run; that is always so here."""

    def __init__(self) -> None: ...
    def add_active_adapter(self, adapter: LoraAdapter) -> None:
        """Let runs take the parameters of an adapter in place of the model's defaults."""
    def add_run_config_entry(self, key: str, value: str) -> None:
        """Set a further option by name."""
    def get_run_config_entry(self, key: str) -> str:
        """Give a further option by name."""

@disjoint_base
class Session:
    """What a session can do once it has a model."""

    def __init__(self, enable_fallback: bool = True) -> None: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, memo: Any) -> Self: ...
    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
        *,
        timeout: float | None = None,
    ) -> list[Any]:
        """Run the model on `input_feed` and give the values of `output_names` in their order; all outputs when there are none.

        Raises `RunTimeout` when the run is not over after `timeout` seconds. Ctrl-C ends it too. The session can be used afterwards.
        """
    @overload
    def run_async(self, output_names: Mapping[str, Any], input_feed: None = None) -> Coroutine[Any, Any, list[Any]]:
        """Give a coroutine that runs the model on values by name and gives all outputs; cancelling its task ends the run."""
    @overload
    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: None = None,
        user_data: None = None,
        run_options: RunOptions | None = None,
    ) -> Coroutine[Any, Any, list[Any]]:
        """Give a coroutine that runs the model on values by name and gives those that are named; cancelling its task ends the run."""
    @overload
    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any], Any, str], Any],
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Start a run on another thread, which ends in a call of `callback(results, user_data, error)`.

        On success `error` is empty, else `results` is. What is fed stays alive until then. Raises `ValueError` for a missing input,
        and `InvalidArgument` for a session with one thread.
        """
    def run_with_ort_values(
        self,
        output_names: Sequence[str] | None,
        input_dict_ort_values: dict[str, OrtValue],
        run_options: RunOptions | None = None,
        *,
        timeout: float | None = None,
    ) -> list[OrtValue]:
        """Run the model on `OrtValue`s by name and give `OrtValue`s."""
    def run_with_ortvaluevector(
        self,
        run_options: RunOptions,
        feed_names: Sequence[str],
        feeds: OrtValueVector,
        fetch_names: Sequence[str],
        fetches: OrtValueVector,
        fetch_devices: Sequence[OrtDevice],
    ) -> None:
        """Run the model on the values `feeds`, called `feed_names`, and put those called `fetch_names` into the list `fetches`."""
    def run_with_iobinding(self, iobinding: IOBinding, run_options: RunOptions | None = None, *, timeout: float | None = None) -> None:
        """Run the model on what is bound to its inputs, and write to what is bound to its outputs."""
    def explain(self) -> Explanation:
        """Tell what became of each node: provider, kernel, layout, what was fused into it, what is copied for it, and why."""
    def memory(self, shapes: Mapping[str, Sequence[int]] | None = None, **dimensions: int) -> MemoryUse:
        """Tell how much memory a run takes, before it runs: for inputs of `shapes`, by name, and for dimensions by theirs.

        Raises `InvalidArgument` for unknown names, and when the size of a dimension is not given.
        """
    def find_nan(self, input_feed: Mapping[str, Any], run_options: RunOptions | None = None) -> BadNode | None:
        """Run the model and give the first node that makes NaN or infinite elements of inputs that have none; `None` without one."""
    def profile(self, input_feed: Mapping[str, Any] | None = None, runs: int = 10) -> Spending:
        """Run the model `runs` times, on `input_feed` or on random values, and tell which operators took how long."""
    def _start(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None,
        callback: Callable[[list[Any] | None, BaseException | None], Any],
    ) -> Running: ...
    def io_binding(self) -> IOBinding:
        """Give a binding of inputs and outputs to memory."""
    def end_profiling(self) -> str:
        """End the profile of the session and give the path of its file; empty when there is none, or when it has ended before."""
    def get_profiling_start_time_ns(self) -> int:
        """Tell when the profile of the session began, in nanoseconds since the epoch; 0 when there is none."""
    def get_inputs(self) -> list[NodeArg]:
        """Give what must be fed, in the model's order."""
    def get_outputs(self) -> list[NodeArg]:
        """Give what the model gives, in its order."""
    def get_overridable_initializers(self) -> list[NodeArg]:
        """Give what may be fed in place of a default."""
    def get_modelmeta(self) -> ModelMetadata:
        """Give what the model says of itself."""
    def get_providers(self) -> list[str]:
        """Give the names of the providers, in order of preference."""
    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Give the options that each provider was made with, as text."""
    def get_session_options(self) -> SessionOptions:
        """Give the options that the session was made with."""
    def get_input_memory_infos(self) -> list[OrtMemoryInfo]:
        """Describe the memory that each input is read from."""
    def get_output_memory_infos(self) -> list[OrtMemoryInfo]:
        """Describe the memory that each output is written to."""
    def get_input_epdevices(self) -> list[OrtEpDevice | None]:
        """Give the provider's device that reads each input."""
    def set_providers(
        self,
        providers: Sequence[str | tuple[str, Mapping[Any, Any]]] | None = None,
        provider_options: Sequence[Mapping[Any, Any]] | None = None,
    ) -> None:
        """Load the model again for other providers. The session stays as it was when that fails.

        Raises `RuntimeError` for a provider that nobody has heard of; one that this build has not got warns.
        """
    def enable_fallback(self) -> None:
        """Let a failing provider be replaced by the CPU; providers that cannot be had are left out in any case."""
    def disable_fallback(self) -> None:
        """Let a failing provider fail."""
    def get_provider_graph_assignment_info(self) -> list[OrtEpAssignedSubgraph]:
        """Give the nodes that each provider runs, a subgraph a node.

        Raises `Fail` unless the option `session.record_ep_graph_assignment_info` is `"1"`.
        """
    def create_ortvalue_from_shape_and_type(
        self, shape: Iterable[int], element_type: Any, device_type: str, device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue:
        """Give a tensor of `shape` whose elements are zeros, in memory that the session can reach."""
    def set_ep_dynamic_options(self, options: Mapping[str, str]) -> None:
        """Change options of providers while the session lives; `RuntimeError` without any. The CPU has none and ignores them."""
    def get_tuning_results(self) -> list[Any]:
        """Give what providers have found to be fastest; the CPU measures nothing while a model runs, so there is nothing."""
    def set_tuning_results(self, results: list[Any], *, error_on_invalid: bool = False) -> None:
        """Take what `get_tuning_results` gave, dictionaries with `ep`, `results` and `validators`.

        No provider of this build takes any: they are ignored, or `RuntimeError` with `error_on_invalid`.
        """
    def release_captured_graph(self, graph_annotation_id: int = 0) -> None:
        """Let go of a captured graph; the CPU captures none."""
    @property
    def _sess(self) -> CoreSession: ...

class InferenceSession(Session):
    """A model, ready to run; from any number of threads at once.

    The model is a path or the bytes of one. Options and providers are as in ONNX Runtime; `disabled_optimizers` names graph passes to
    leave out, `read_config_from_model=0` takes no options from the model whatever the environment
    says, and other keywords are taken and ignored.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, Mapping[Any, Any]]] | None = None,
        provider_options: Sequence[Mapping[Any, Any]] | None = None,
        **kwargs: Any,
    ) -> None: ...

@final
class CoreSession:
    """The native session behind an `InferenceSession`: the same model under the names and argument orders of ONNX Runtime's own.

    Made of options and a model, which is a path if `is_path` and else bytes, it can tell what the model is, and run it after
    `initialize_session`.
    """

    def __new__(
        cls, session_options: SessionOptions, model: str | bytes, is_path: bool, read_config_from_model: bool = False
    ) -> CoreSession:
        """Make a session of `model`, a path if `is_path` and else bytes."""
    def initialize_session(self, provider_types: list[str], provider_options: list[dict[str, str]], disabled_optimizers: set[str]) -> None:
        """Make the session ready to run on `provider_types` with `provider_options`, without the graph passes `disabled_optimizers`.

        Raises `RuntimeError` when names and options are not as many.
        """
    @property
    def inputs_meta(self) -> list[NodeArg]:
        """What must be fed."""
    @property
    def outputs_meta(self) -> list[NodeArg]:
        """What the model gives."""
    @property
    def overridable_initializers(self) -> list[NodeArg]:
        """What may be fed in place of a default."""
    @property
    def model_meta(self) -> ModelMetadata:
        """What the model says of itself."""
    @property
    def session_options(self) -> SessionOptions:
        """The options that the session was made with."""
    @property
    def input_meminfos(self) -> list[OrtMemoryInfo]:
        """The memory that each input is read from."""
    @property
    def output_meminfos(self) -> list[OrtMemoryInfo]:
        """The memory that each output is written to."""
    @property
    def input_epdevices(self) -> list[OrtEpDevice | None]:
        """The provider's device that reads each input."""
    @property
    def get_profiling_start_time_ns(self) -> int:
        """When the profile of the session began, in nanoseconds since the epoch; 0 when there is none."""
    def end_profiling(self) -> str:
        """End the profile of the session and give the path of its file; empty when there is none, or when it has ended before."""
    def get_providers(self) -> list[str]:
        """Give the names of the providers, in order of preference; none before `initialize_session`."""
    def get_provider_options(self) -> dict[str, dict[str, str]]:
        """Give the options that each provider was made with, as text."""
    def get_provider_graph_assignment_info(self) -> list[OrtEpAssignedSubgraph]:
        """Give the nodes that each provider runs, a subgraph a node.

        Raises `Fail` unless the option `session.record_ep_graph_assignment_info` is `"1"`.
        """
    def create_ortvalue_from_shape_and_type(self, shape: Iterable[int], element_type: Any, device: OrtDevice) -> OrtValue:
        """Give a tensor of `shape` whose elements, of a type of numpy, are zeros, in memory of `device`."""
    def create_ortvalue_from_shape_and_onnx_type(self, shape: Iterable[int], element_type: int, device: OrtDevice) -> OrtValue:
        """Give a tensor of `shape` whose elements, of the ONNX type with a number, are zeros, in memory of `device`."""
    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: RunOptions | None = None) -> list[Any]:
        """Run the model: names, feeds, options. `InvalidArgument` for an empty list of names."""
    def run_async(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        callback: Callable[[list[Any], Any, str], Any],
        user_data: Any,
        run_options: RunOptions | None = None,
    ) -> None:
        """Start a run on another thread, which ends in a call of `callback(results, user_data, error)`."""
    def run_with_ort_values(
        self, input_feed: dict[str, OrtValue], output_names: Sequence[str] | None, run_options: RunOptions | None = None
    ) -> OrtValueVector:
        """Run the model on values: feeds, names, options."""
    def run_with_ortvaluevector(
        self,
        run_options: RunOptions,
        feed_names: list[str],
        feeds: OrtValueVector,
        fetch_names: Sequence[str],
        fetches: OrtValueVector,
        fetch_devices: list[OrtDevice],
    ) -> None:
        """Run the model on the values `feeds`, called `feed_names`, and put those called `fetch_names` into the list `fetches`."""
    def run_with_iobinding(self, iobinding: SessionIOBinding, run_options: RunOptions | None = None) -> None:
        """Run the model on what is bound."""
    def set_ep_dynamic_options(self, options: dict[str, str]) -> None:
        """Change options of providers while the session lives; `RuntimeError` without any. The CPU has none and ignores them."""
    def get_tuning_results(self) -> list[Any]:
        """Give what providers have found to be fastest: nothing."""
    def set_tuning_results(self, results: list[Any], error_on_invalid: bool) -> None:
        """Take what `get_tuning_results` gave; `RuntimeError` with `error_on_invalid`, for no provider of this build takes any."""
    def release_captured_graph(self, graph_annotation_id: int) -> None:
        """Let go of a captured graph; the CPU captures none."""
    def is_webgpu_graph_capture_enabled(self) -> bool:
        """Tell whether WebGPU captures graphs, which this build has not got."""
    def webgpu_context_id(self) -> int:
        """Give the number of the session's WebGPU context: -1 for none."""

@final
class OrtEpAssignedNode:
    """A node that a provider runs."""

    @property
    def name(self) -> str:
        """Its name; of nodes that became one, that of the one."""
    @property
    def domain(self) -> str:
        """The domain of its operator; empty for that of ONNX."""
    @property
    def op_type(self) -> str:
        """The name of its operator."""

@final
class OrtEpAssignedSubgraph:
    """Nodes that a provider runs together."""

    @property
    def ep_name(self) -> str:
        """The name of the provider."""
    def get_nodes(self) -> list[OrtEpAssignedNode]:
        """Give the nodes."""

@final
class OrtHardwareDevice:
    """A piece of hardware."""

    @property
    def type(self) -> OrtHardwareDeviceType:
        """What kind of hardware it is."""
    @property
    def vendor(self) -> str:
        """Who made it."""
    @property
    def vendor_id(self) -> int:
        """The number of its maker on the PCI bus; 0 when it is not known."""
    @property
    def device_id(self) -> int:
        """Which device of its maker it is."""
    @property
    def metadata(self) -> dict[str, str]:
        """What else is known of it."""

@final
class OrtEpDevice:
    """A piece of hardware as a provider uses it."""

    @property
    def ep_name(self) -> str:
        """The name of the provider."""
    @property
    def ep_vendor(self) -> str:
        """Who made the provider."""
    @property
    def ep_metadata(self) -> dict[str, str]:
        """What else the provider says of itself: its `version`."""
    @property
    def ep_options(self) -> dict[str, str]:
        """The options that make the provider use the hardware."""
    @property
    def device(self) -> OrtHardwareDevice:
        """The hardware."""
    def memory_info(self, memory_type: OrtDeviceMemoryType) -> OrtMemoryInfo | None:
        """Describe the memory of the hardware of the given kind; `None` for the CPU, which has no other than the host's."""
    def create_sync_stream(self) -> None:
        """Make a stream of work on the hardware; `RuntimeError`, for the CPU has none."""

@final
class SessionIOBinding:
    """Inputs and outputs of a session bound to memory: what ONNX Runtime has behind its `IOBinding`."""

    def __new__(cls, session: CoreSession) -> SessionIOBinding:
        """Make a binding for the native session of a session, `session._sess`."""
    def bind_input(
        self, name: str, array_or_device: Any, element_type: Any = None, shape: Iterable[int] | None = None, buffer_ptr: int | None = None
    ) -> None:
        """Bind input `name` to an array, or to memory: a device, an element type, a shape and an address."""
    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """Bind input `name` to the memory of a value."""
    def bind_output(
        self,
        name: str,
        device: OrtDevice,
        element_type: Any = None,
        shape: Iterable[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Bind output `name` to memory of the runtime on a device, or to memory with an element type, a shape and an address."""
    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """Bind output `name` to the memory of a value."""
    def synchronize_inputs(self) -> None:
        """Wait until bound inputs are written, by whoever does so on a device."""
    def synchronize_outputs(self) -> None:
        """Wait until bound outputs are written: a run ends when they are."""
    def get_outputs(self) -> OrtValueVector:
        """Give the values of the last run, in the order in which outputs were first bound."""
    def copy_outputs_to_cpu(self) -> list[Any]:
        """Give copies of what the last run gave, as arrays, lists and dictionaries."""
    def clear_binding_inputs(self) -> None:
        """Unbind all inputs."""
    def clear_binding_outputs(self) -> None:
        """Unbind all outputs."""

@final
class IOBinding:
    """Inputs and outputs of a session bound to memory, for `run_with_iobinding`."""

    def __new__(cls, session: InferenceSession) -> IOBinding:
        """Make a binding for `session`."""
    @property
    def _iobinding(self) -> SessionIOBinding: ...
    def bind_cpu_input(self, name: str, arr_on_cpu: Any) -> None:
        """Bind input `name` to the memory of an array, which the binding keeps."""
    def bind_input(self, name: str, device_type: str, device_id: int, element_type: Any, shape: Iterable[int], buffer_ptr: int) -> None:
        """Bind input `name` to the memory at `buffer_ptr`, which stays there as long as the binding is used.

        `element_type` is a type of numpy or the number of an ONNX type. Raises `RuntimeError` for strings, and for memory that this
        build cannot reach.
        """
    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        """Bind input `name` to the memory of a value."""
    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Iterable[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """Bind output `name` to memory of the runtime, or to that at `buffer_ptr`, which takes an `element_type` and a `shape`.

        Memory of the runtime is used again by the next run where the shape stays the same.
        """
    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        """Bind output `name` to the memory of a value."""
    def synchronize_inputs(self) -> None:
        """Wait until bound inputs are written, by whoever does so on a device."""
    def synchronize_outputs(self) -> None:
        """Wait until bound outputs are written: a run ends when they are."""
    def get_outputs(self) -> list[OrtValue]:
        """Give the values of the last run, in the order in which outputs were first bound."""
    def get_outputs_as_ortvaluevector(self) -> OrtValueVector:
        """Give the same as a list of ONNX Runtime's native calls."""
    def copy_outputs_to_cpu(self) -> list[Any]:
        """Give copies of what the last run gave, as arrays, lists and dictionaries."""
    def clear_binding_inputs(self) -> None:
        """Unbind all inputs."""
    def clear_binding_outputs(self) -> None:
        """Unbind all outputs."""

def cli(args: Sequence[str]) -> int:
    """Run the command line `args`, the name of the program first, and give its exit status."""

def get_available_providers() -> list[str]:
    """Give the names of the providers that sessions can use here, the CPU last."""

def get_all_providers() -> list[str]:
    """Give the names of the providers that ort_rs has at all, the CPU last."""

def get_ep_devices() -> list[OrtEpDevice]:
    """Give the devices that the providers of this build can use."""

def get_device() -> str:
    """Give the kind of device that sessions can use here: `GPU` where a CUDA device is, else `CPU`."""

def get_version_string() -> str:
    """Give the version of ort_rs."""

def get_build_info() -> str:
    """Tell what this build is made of, in one line."""

def check_and_normalize_provider_args(
    providers: Sequence[str | tuple[str, Mapping[Any, Any]]] | None,
    provider_options: Sequence[Mapping[Any, Any]] | None,
    available_provider_names: Sequence[str],
) -> tuple[list[str], list[dict[str, str]]]:
    """Normalize names and options of providers: two lists of equal length, options as dictionaries of text."""

def copy_tensors(src: Sequence[OrtValue], dst: Sequence[OrtValue], stream: Any = None) -> None:
    """Copy each of the tensors `src` to the one of `dst` at its place, of the same type and number of elements."""

def create_and_register_allocator(mem_info: OrtMemoryInfo, arena_cfg: OrtArenaCfg | None) -> None:
    """Make an allocator for memory of the CPU that sessions and values share.

    Raises `RuntimeError` for memory of another device.
    """

def create_and_register_allocator_v2(
    provider_type: str, mem_info: OrtMemoryInfo, options: Mapping[str, str], arena_cfg: OrtArenaCfg | None
) -> None:
    """Make an allocator for memory of the provider `provider_type` that sessions and values share.

    Raises `RuntimeError` for a provider that this build has not got.
    """

def is_dlpack_uint8_tensor(capsule: Any) -> bool:
    """Tell whether a capsule of DLPack holds elements of `uint8`; booleans that were lent here do too."""

@final
class AdapterFormat:
    """What is in the file of a LoRA adapter: versions and named tensors."""

    format_version: int
    """The version of the file format; it cannot be set."""
    adapter_version: int
    """The version of the adapter."""
    model_version: int
    """The version of the model that the adapter is for."""
    parameters: Mapping[str, OrtValue]
    """The tensors by name."""

    def __new__(cls) -> AdapterFormat: ...
    @staticmethod
    def read_adapter(file_path: str | os.PathLike[str]) -> AdapterFormat:
        """Give the content of the file at `file_path`; its tensors stay valid whatever becomes of this object.

        Raises `RuntimeError` when it is not there or no adapter.
        """
    def export_adapter(self, file_path: str | os.PathLike[str]) -> None:
        """Write the file `file_path`.

        Raises `RuntimeError` for parameters of strings, before anything is written, and when it cannot be written.
        """
    def get_format_version(self) -> int:
        """Give the version of the file format."""
    def set_adapter_version(self, adapter_version: int) -> None:
        """Set the version of the adapter."""
    def get_adapter_version(self) -> int:
        """Give the version of the adapter."""
    def set_model_version(self, model_version: int) -> None:
        """Set the version of the model that the adapter is for."""
    def get_model_version(self) -> int:
        """Give the version of the model that the adapter is for."""
    def set_parameters(self, params: Mapping[str, OrtValue]) -> None:
        """Set the parameters, an `OrtValue` by name, in place of those there were."""
    def get_parameters(self) -> dict[str, OrtValue]:
        """Give the parameters, an `OrtValue` by name."""

@final
class LoraAdapter:
    """A LoRA adapter, to be given to runs through `RunOptions.add_active_adapter`."""

    def __new__(cls) -> LoraAdapter: ...
    def Load(self, path: str | os.PathLike[str]) -> None:  # noqa: N802  # The name is ONNX Runtime's.
        """Read the adapter at `path`, in place of what was there.

        Raises `RuntimeError` when there is none.
        """

@final
class Explanation:
    """What became of a model: a node of the optimized graph each, and the passes that worked. `str` gives a table."""

    nodes: list[ExplainedNode]
    """The nodes of the optimized graph, in the order they run."""
    passes: dict[str, int]
    """The passes that changed the graph, with the number of their rewrites."""
    text: str
    """What `str` gives."""

@final
class ExplainedNode:
    """What became of a node."""

    op: str
    """The operator, with its domain and version."""
    name: str
    """The node's name."""
    provider: str
    """The provider that runs it."""
    kernel: str
    """The kernel that was built for it; empty where none runs."""
    layout: str
    """How its outputs lie, if not one element after the other in their order."""
    outputs: list[str]
    """Names, types and shapes of its outputs."""
    origins: list[tuple[str, str]]
    """The model's own nodes that it stands for: operator and name."""
    shortcut: str
    """How it does without work or memory."""
    copies: list[str]
    """Inputs that are copied from another memory before it runs."""
    refused: list[tuple[str, str]]
    """Providers that were asked before, and why they refused."""

@final
class MemoryUse:
    """How much memory a session takes with one run, in bytes. `str` gives a table."""

    weights: int
    """What the model fixes, in memory of the session."""
    mapped: int
    """What the model fixes and is read from its file when it is needed."""
    packed: int
    """What kernels hold in a format of their own; sessions of one model share it."""
    arena: int
    """Memory that values take turns in; it is kept for the next run."""
    scratch: int
    """What kernels work in; it is kept for the next run."""
    values: int
    """Values that have buffers of their own, outputs among them, when they are most."""
    outputs: int
    """What the caller is given."""
    run: int
    """The most that a run takes: arena, scratch memory and values together."""
    peak: int
    """The most that the session takes: a run, weights and what is packed of them."""
    unknown: list[str]
    """Nodes that take more than that: what they write is known only when they run, or they run graphs."""
    text: str
    """What `str` gives."""

@final
class Statistics:
    """The elements of a tensor of floats, in numbers."""

    elements: int
    """How many there are."""
    nan: int
    """How many are NaN."""
    infinite: int
    """How many are infinite."""
    min: float
    """The least of the finite ones; 0 when there are none."""
    max: float
    """The greatest of the finite ones; 0 when there are none."""
    mean: float
    """The mean of the finite ones; 0 when there are none."""
    text: str
    """What `str` gives."""

@final
class BadNode:
    """The first node that makes NaN or infinite elements of inputs that have none."""

    op: str
    """The operator, with its domain and version."""
    name: str
    """The node's name."""
    origins: list[tuple[str, str]]
    """The model's own nodes that it stands for: operator and name."""
    output: str
    """The name of the output."""
    statistics: Statistics
    """What the output holds."""
    inputs: dict[str, Statistics]
    """What its inputs hold, by name."""
    text: str
    """What `str` gives."""

@final
class Spent:
    """What the nodes of one operator took, in all runs together."""

    op: str
    """The operator, with its domain and version."""
    calls: int
    """How often nodes of it ran."""
    seconds: float
    """How long they took, in seconds."""
    share: float
    """Its part of the time of all operators, between 0 and 1."""
    mean: float
    """How long one call took, in seconds."""
    bytes: int
    """Bytes of the tensors that they read and wrote."""

@final
class Spending:
    """What runs took, by operator. `str` gives a table."""

    runs: int
    """How many runs there were."""
    seconds: float
    """How long all operators took, in seconds."""
    operators: list[Spent]
    """The operators of the optimized graph, first the one that took most time."""
    text: str
    """What `str` gives."""

@final
class Running:
    """A run that goes on behind the caller's back."""

    def terminate(self) -> None:
        """End the run as soon as it can."""

@final
class CustomOp:
    """An operator whose kernel is a function of Python; `ort_rs.custom_op` makes it."""

    def __new__(
        cls,
        domain: str,
        name: str,
        signature: str,
        *,
        types: Mapping[str, Sequence[str]],
        since_version: int,
        call: Callable[..., Any],
        infer: Callable[..., Any] | None,
        allowed: Sequence[str] | None,
        required: Sequence[str],
        pure: bool,
    ) -> CustomOp: ...
    def register(self) -> None:
        """Let every session that is made from now on run the operator."""

def diagnose() -> tuple[dict[str, dict[str, str]], list[str]]:
    """Give facts about the machine and this build, by section, and advice."""

def model_metadata(model: str | os.PathLike[str] | bytes) -> dict[str, str]:
    """Give what a model, at a path or as bytes, carries as metadata of its maker's own."""

def set_default_logger_severity(severity: int) -> None:
    """Set from which severity on the process logs: 0 verbose, 1 information, 2 warnings, 3 errors, 4 fatal errors.

    Raises `RuntimeError` for any other number.
    """

def set_default_logger_verbosity(verbosity: int) -> None:
    """Set how much the process logs at the lowest severity."""

def set_global_thread_pool_sizes(intra_op_num_threads: int = 0, inter_op_num_threads: int = 0) -> None:
    """Set how many threads sessions without threads of their own share; 0 for as many as the machine gives.

    From then on sessions with `use_per_session_threads=True` are refused. Raises `Fail` when it was called before.
    """

def set_seed(seed: int) -> None:
    """Make random numbers repeatable in sessions that are made from now on, for nodes without a seed of their own."""

def quantize_matmul_2bits(
    dst: Any, src: Any, scale: Any, zero_points: Any, block_size: int, columns: int, rows: int, is_symmetric: bool
) -> None:
    """Quantize the matrix `src` to 2 bits in blocks of `block_size` rows: `dst` as MatMulNBits has its weights.

    `scale` takes a scale and `zero_points`, unless `is_symmetric`, a zero point for each block. `RuntimeError` for blocks that kernels do
    not take, `TypeError` and `ValueError` for arrays of other types and sizes.
    """

def quantize_matmul_4bits(
    dst: Any, src: Any, scale: Any, zero_points: Any, block_size: int, columns: int, rows: int, is_symmetric: bool
) -> None:
    """Do as `quantize_matmul_2bits`, to 4 bits."""

def quantize_matmul_8bits(
    dst: Any, src: Any, scale: Any, zero_points: Any, block_size: int, columns: int, rows: int, is_symmetric: bool
) -> None:
    """Do as `quantize_matmul_2bits`, to 8 bits."""

def quantize_qdq_matmul_2bits(
    dst: Any, src: Any, scale: Any, zero_points: Any, block_size: int, columns: int, rows: int, is_symmetric: bool
) -> bool:
    """Quantize the matrix `src` to 2 bits in blocks of `block_size` rows: `dst` as DequantizeLinear has its weights.

    Tells whether they are signed, which symmetric ones are.
    """

def quantize_qdq_matmul_4bits(
    dst: Any, src: Any, scale: Any, zero_points: Any, block_size: int, columns: int, rows: int, is_symmetric: bool
) -> bool:
    """Do as `quantize_qdq_matmul_2bits`, to 4 bits."""

def quantize_matmul_bnb4(dst: Any, src: Any, absmax: Any, block_size: int, quant_type: int, n: int, k: int) -> None:
    """Quantize the numbers `src` to codes of 4 bits in blocks of `block_size`: those of MatMulBnb4.

    They are FP4 for a `quant_type` of 0 and NF4 for 1. `absmax` takes the largest size of each block.
    """

def pack_fp4_weights_for_cuda_moe_gemm(q_weights: Any, N: int, K: int) -> Any:  # noqa: N803  # The names of ONNX Runtime's arguments.
    """Pack numbers of 4 bits, `[N, K / 2]` bytes, along the columns: `K * N / 2` bytes, as CUDA kernels of experts take them.

    Raises `ValueError` for odd sizes and other shapes.
    """

def registered_operators() -> list[dict[str, Any]]:
    """Describe every version of every operator that is built in, a dictionary each.

    They have `domain`, `name`, `since`, `until` (the last opset that has it, or a large number), `deprecated`, `inputs` and `outputs`
    (name, type, how often they are given, and whether those are of one type), `types` (the types that each variable may be),
    `attributes` (name, kind, and whether there is no node without it), and `kernel`: whether the CPU has one.
    """
