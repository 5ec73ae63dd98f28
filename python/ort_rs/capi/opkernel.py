"""Which operators this build runs, and on which types."""

from dataclasses import dataclass

from ort_rs._core import get_available_providers, registered_operators

_CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class KernelDef:
    """A kernel: the operator, the opsets, and the types that it is for."""

    op_name: str
    domain: str
    version_range: tuple[int, int]
    provider: str
    type_constraints: dict[str, list[str]]


def get_all_opkernel_def() -> list[KernelDef]:
    """Give the kernels of the CPU, one for each version of an operator."""
    return [
        KernelDef(v["name"], v["domain"], (v["since"], v["until"]), _CPU, dict(v["types"]))
        for v in registered_operators()
        if v["kernel"] and not v["deprecated"]
    ]


def get_registered_ep_kernel_defs(ep_name: str) -> list[KernelDef]:
    """Give the kernels of the provider `ep_name`.

    Raises `RuntimeError` for a provider that is not there.
    """
    if ep_name not in get_available_providers():
        raise RuntimeError(
            f"No devices found for EP '{ep_name}'. Ensure the plugin EP library is registered via register_execution_provider_library()."
        )
    return [kernel for kernel in get_all_opkernel_def() if kernel.provider == ep_name]
