"""Settings of the whole process, and what ONNX Runtime has to call there that has nothing to do here."""

import functools

from ort_rs._core import Fail, SessionOptions


@functools.cache
def get_default_session_options() -> SessionOptions:
    """Give the options that the process shares: always the same object."""
    return SessionOptions()


def enable_telemetry_events() -> None:
    """Do nothing: there is no telemetry."""


def disable_telemetry_events() -> None:
    """Do nothing: there is no telemetry."""


def has_collective_ops() -> bool:
    """Tell whether this build can run operators that several processes share; it cannot."""
    return False


def register_execution_provider_library(registration_name: str, library_path: str) -> None:
    """Refuse: providers that are libraries of their own, built for ONNX Runtime, cannot be loaded.

    Raises `Fail`.
    """
    raise Fail(
        f"[ONNXRuntimeError] : 1 : FAIL : Failed to load library {library_path} with error: ort_rs cannot load provider libraries "
        f"(asked for as {registration_name})"
    )


def unregister_execution_provider_library(registration_name: str) -> None:
    """Refuse: no provider library can have been registered.

    Raises `Fail`.
    """
    raise Fail(f"[ONNXRuntimeError] : 1 : FAIL : Execution provider library: {registration_name} was not registered.")
