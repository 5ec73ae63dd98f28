"""The native module: what it has, and the types of it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, final

from typing_extensions import disjoint_base

from ort_rs._enums import ExecutionMode, ExecutionOrder, GraphOptimizationLevel

__all__ = [
    "DeviceReset",
    "EPFail",
    "EngineError",
    "Fail",
    "InferenceSession",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoadCanceled",
    "ModelLoaded",
    "ModelMetadata",
    "ModelRequiresCompilation",
    "NoModel",
    "NoSuchFile",
    "NodeArg",
    "NotFound",
    "NotImplemented",
    "RunOptions",
    "RuntimeException",
    "SessionOptions",
    "SparseTensor",
    "__version__",
    "check_and_normalize_provider_args",
    "get_all_providers",
    "get_available_providers",
    "get_build_info",
    "get_device",
    "get_version_string",
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
class SparseTensor:
    """An array of mostly zeros, kept as its other elements and their places."""

    def values(self) -> Any:
        """Give the elements that are not zero."""
    def indices(self) -> Any:
        """Give their places: flat, or one row of coordinates each."""
    def dense_shape(self) -> list[int]:
        """Give the shape of the whole array."""
    def data_type(self) -> str:
        """Give its type, such as `sparse_tensor(float)`."""

@final
class SessionOptions:
    """What a session is made with."""

    graph_optimization_level: GraphOptimizationLevel
    """How far the graph is optimized."""
    execution_mode: ExecutionMode
    """Whether nodes may run at the same time; they run one after the other in both modes."""
    execution_order: ExecutionOrder
    """In which order nodes run; it is the model's in all of them."""
    intra_op_num_threads: int
    """How many threads a node may use; 0 for as many as the machine gives."""
    inter_op_num_threads: int
    """How many nodes may run at once; they run one after the other here."""
    optimized_model_filepath: str
    """Where the optimized model is saved; empty for nowhere."""
    logid: str
    """A name for the session in logs."""
    log_severity_level: int
    """From which severity on the session logs; -1 for the default."""
    log_verbosity_level: int
    """How much the session logs at the lowest severity."""
    enable_profiling: bool
    """Whether a profile is written."""
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
    def add_run_config_entry(self, key: str, value: str) -> None:
        """Set a further option by name."""
    def get_run_config_entry(self, key: str) -> str:
        """Give a further option by name."""

@disjoint_base
class InferenceSession:
    """A model, ready to run; from any number of threads at once.

    The model is a path or the bytes of one. Options and providers are as in ONNX Runtime; `disabled_optimizers` names graph passes to
    leave out, and other keywords are taken and ignored.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, Mapping[Any, Any]]] | None = None,
        provider_options: Sequence[Mapping[Any, Any]] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: RunOptions | None = None,
    ) -> list[Any]:
        """Run the model on `input_feed` and give the values of `output_names` in their order; all outputs when there are none."""
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

def get_available_providers() -> list[str]:
    """Give the names of the providers that sessions can use here, the CPU last."""

def get_all_providers() -> list[str]:
    """Give the names of the providers that ort_rs has at all, the CPU last."""

def get_device() -> str:
    """Give the kind of device that a session uses if it is not told otherwise."""

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
