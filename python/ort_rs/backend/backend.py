"""Models prepared and run through the interface that the ONNX project defines for backends."""

import os
from typing import Any

from onnx import ModelProto
from onnx.backend.base import Backend

from ort_rs import InferenceSession, SessionOptions, get_available_providers, get_device
from ort_rs.backend.backend_rep import OnnxRuntimeBackendRep
from ort_rs.backend.keywords import set_attributes

# What a caller may set through keywords. Left out is whatever writes files: `optimized_model_filepath`, `profile_file_prefix` and
# `enable_profiling`.
_ALLOWED_SESSION_OPTIONS = frozenset(
    {
        "enable_cpu_mem_arena",
        "enable_mem_pattern",
        "enable_mem_reuse",
        "execution_mode",
        "execution_order",
        "graph_optimization_level",
        "inter_op_num_threads",
        "intra_op_num_threads",
        "log_severity_level",
        "log_verbosity_level",
        "logid",
        "use_deterministic_compute",
        "use_per_session_threads",
    }
)

Model = str | os.PathLike[str] | bytes | ModelProto | InferenceSession | OnnxRuntimeBackendRep


def _kind(device: str) -> str:
    """The kind of a device such as `CUDA:0`."""
    return device.partition(":")[0]


class OnnxRuntimeBackend(Backend):
    """ort_rs behind the interface of ONNX's backends, under the name that ONNX Runtime gives its own."""

    # The name is ONNX Runtime's. Here models of any opset are tried: they load when every operator is known.
    allowReleasedOpsetsOnly = False  # noqa: N815

    @classmethod
    def is_opset_supported(cls, model: ModelProto) -> tuple[bool, str]:  # noqa: ARG003
        """Tell whether the opsets that `model` imports are among those to be tried, and if not, why; all are."""
        return True, ""

    @classmethod
    def is_compatible(cls, model: Model, device: str | None = None, **kwargs: Any) -> bool:  # noqa: ARG003
        """Tell whether `model` can be tried on `device`, the default one if there is none."""
        return device is None or cls.supports_device(device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Tell whether models can run on `device`, such as `CPU` or `CUDA:0`; the CPU always can."""
        kind = _kind(device)
        return kind == "CPU" or get_device() == {"CUDA": "GPU"}.get(kind, kind)

    @classmethod
    def prepare(cls, model: Model, device: str | None = None, **kwargs: Any) -> OnnxRuntimeBackendRep:
        """Load `model` and make it ready to run: on the CPU alone if `device` says so, else with all providers.

        Keywords set attributes of the session's options; those that would write files raise `RuntimeError`, and unknown ones are
        ignored.
        """
        if isinstance(model, OnnxRuntimeBackendRep):
            return model
        if isinstance(model, InferenceSession):
            return OnnxRuntimeBackendRep(model)
        if device is not None and not cls.supports_device(device):
            raise RuntimeError(f"Incompatible device expected '{device}', got '{get_device()}'")
        options = SessionOptions()
        set_attributes(options, kwargs, _ALLOWED_SESSION_OPTIONS)
        source = model.SerializeToString() if isinstance(model, ModelProto) else model
        on_cpu = device is not None and _kind(device) == "CPU"
        providers = ["CPUExecutionProvider"] if on_cpu else get_available_providers()
        return OnnxRuntimeBackendRep(InferenceSession(source, options, providers))

    @classmethod
    def run_model(cls, model: Model, inputs: Any, device: str | None = None, **kwargs: Any) -> list[Any]:  # type: ignore[override]
        """Prepare `model` and run it once on `inputs`."""
        return cls.prepare(model, device, **kwargs).run(inputs, **kwargs)

    @classmethod
    def run_node(cls, node: Any, inputs: Any, device: str | None = None, outputs_info: Any = None, **kwargs: Any) -> Any:
        """Refuse: a node alone has no types; a model of one node is the way."""
        raise NotImplementedError("It is much more efficient to run a whole model than every node independently.")


is_compatible = OnnxRuntimeBackend.is_compatible
prepare = OnnxRuntimeBackend.prepare
run = OnnxRuntimeBackend.run_model
run_model = OnnxRuntimeBackend.run_model
supports_device = OnnxRuntimeBackend.supports_device
