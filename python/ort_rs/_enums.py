"""The enumerations of options, with the names and values of ONNX Runtime."""

from enum import Enum, IntEnum


class _Option(IntEnum):
    """A member is shown by its name, as ONNX Runtime shows it, and is still a number."""

    __str__ = Enum.__str__


class GraphOptimizationLevel(_Option):
    """How far a graph is optimized before it runs."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(_Option):
    """Whether nodes run one after the other, or those that can at the same time."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class ExecutionOrder(_Option):
    """In which order nodes run."""

    DEFAULT = 0
    PRIORITY_BASED = 1
    MEMORY_EFFICIENT = 2


class OrtAllocatorType(_Option):
    """How an allocator hands out memory."""

    INVALID = -1
    ORT_DEVICE_ALLOCATOR = 0
    ORT_ARENA_ALLOCATOR = 1


class ArenaExtendStrategy(_Option):
    """How an arena grows: to the next power of two, or by what is asked for."""

    kNextPowerOfTwo = 0  # noqa: N815  # The name that programs use.
    kSameAsRequested = 1  # noqa: N815  # The name that programs use.


class OrtMemType(_Option):
    """What memory is for."""

    CPU_INPUT = -2
    CPU_OUTPUT = -1
    CPU = -1
    DEFAULT = 0


class OrtDeviceMemoryType(_Option):
    """Which memory of a device is meant: its own, or one that the host can touch."""

    DEFAULT = 0
    HOST_ACCESSIBLE = 5


class OrtMemoryInfoDeviceType(_Option):
    """The kinds of devices."""

    CPU = 0
    GPU = 1
    NPU = 3
    FPGA = 2


class OrtDeviceVendorId(IntEnum):
    """The makers of devices, by their numbers on the PCI bus."""

    NONE = 0x0000
    AMD = 0x1002
    NVIDIA = 0x10DE
    ARM = 0x13B5
    MICROSOFT = 0x1414
    HUAWEI = 0x19E5
    QUALCOMM = 0x5143
    INTEL = 0x8086


class OrtSparseFormat(_Option):
    """How a sparse tensor keeps the places of its elements."""

    ORT_SPARSE_UNDEFINED = 0
    ORT_SPARSE_COO = 1
    ORT_SPARSE_CSRC = 2
    ORT_SPARSE_BLOCK_SPARSE = 4


class OrtHardwareDeviceType(_Option):
    """The kinds of hardware."""

    CPU = 0
    GPU = 1
    NPU = 2


class OrtExecutionProviderDevicePolicy(_Option):
    """What devices are chosen for when a session chooses them itself."""

    DEFAULT = 0
    PREFER_CPU = 1
    PREFER_NPU = 2
    PREFER_GPU = 3
    MAX_PERFORMANCE = 4
    MAX_EFFICIENCY = 5
    MIN_OVERALL_POWER = 6


class OrtCompileApiFlags(_Option):
    """What `ModelCompiler` takes for an error; members are joined by `|`."""

    NONE = 0
    ERROR_IF_NO_NODES_COMPILED = 1
    ERROR_IF_OUTPUT_FILE_EXISTS = 2


class OrtCompiledModelCompatibility(_Option):
    """Whether a model that was compiled for a device fits it."""

    EP_NOT_APPLICABLE = 0
    EP_SUPPORTED_OPTIMAL = 1
    EP_SUPPORTED_PREFER_RECOMPILATION = 2
    EP_UNSUPPORTED = 3


class OrtDeviceEpIncompatibilityReason(_Option):
    """Why a provider cannot use a device; members are bits of a mask."""

    NONE = 0
    DRIVER_INCOMPATIBLE = 1
    DEVICE_INCOMPATIBLE = 2
    MISSING_DEPENDENCY = 4
    UNKNOWN = -(1 << 31)
