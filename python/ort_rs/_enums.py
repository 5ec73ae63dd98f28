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
