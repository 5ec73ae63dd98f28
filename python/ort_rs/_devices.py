"""The hardware of this machine, the providers that use it, and whether a compiled model fits a device."""

import os
from collections.abc import Sequence

from ort_rs._core import InvalidArgument, OrtEpDevice, OrtHardwareDevice, get_available_providers, get_ep_devices, model_metadata
from ort_rs._enums import OrtCompiledModelCompatibility, OrtDeviceVendorId

# The kinds of memory by the names that programs write: the number of the kind, and its vendor where the name says it.
_KINDS = {
    "cpu": (0, None),
    "gpu": (1, None),
    "cuda": (1, OrtDeviceVendorId.NVIDIA),
    "webgpu": (1, OrtDeviceVendorId.NONE),
    "npu": (3, None),
    "cann": (3, OrtDeviceVendorId.HUAWEI),
    "dml": (4, OrtDeviceVendorId.MICROSOFT),
}


def get_ort_device_type(device_type: str) -> int:
    """Give the number of the kind of device `device_type`.

    Raises `Exception` for a name that is none.
    """
    if device_type not in _KINDS:
        raise Exception(f"Unsupported device type: {device_type}")
    return _KINDS[device_type][0]


def get_vendor_id_for_device_type(device_type: str) -> OrtDeviceVendorId | None:
    """Give the vendor that the name `device_type` of a kind of device stands for, or `None`."""
    return _KINDS.get(device_type, (0, None))[1]


def get_hardware_devices() -> list[OrtHardwareDevice]:
    """Give the processors of this machine."""
    return list({id(d.device): d.device for d in get_ep_devices()}.values())


def get_hardware_device_ep_incompatibility_details(ep_name: str, hardware_device: OrtHardwareDevice) -> dict[str, object]:
    """Tell why provider `ep_name` cannot use `hardware_device`: a mask of reasons, 0 if it can.

    Raises `InvalidArgument` for a provider that this build does not have.
    """
    if ep_name not in get_available_providers() or not isinstance(hardware_device, OrtHardwareDevice):
        raise InvalidArgument(f"[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : No valid factory found for execution provider '{ep_name}'.")
    return {"reasons_bitmask": 0, "notes": None, "error_code": 0}


def get_model_compatibility_for_ep_devices(ep_devices: Sequence[OrtEpDevice], compatibility_info: str) -> OrtCompiledModelCompatibility:
    """Tell whether a model that was compiled with `compatibility_info` fits `ep_devices`; providers here compile no models.

    Raises `RuntimeError` without devices.
    """
    if not isinstance(compatibility_info, str):
        raise TypeError("get_model_compatibility_for_ep_devices(): compatibility_info must be text")
    if not ep_devices:
        raise RuntimeError("Invalid argument provided to GetModelCompatibilityForEpDevices.")
    return OrtCompiledModelCompatibility.EP_NOT_APPLICABLE


def get_compatibility_info_from_model(model_path: str | os.PathLike[str], ep_name: str) -> str | None:
    """Give what the model at `model_path` says it was compiled for by `ep_name`, or `None`.

    Raises `RuntimeError` for a file that is missing or no model, and for empty arguments.
    """
    return _compatibility_info(os.fspath(model_path), ep_name, "GetCompatibilityInfoFromModel")


def get_compatibility_info_from_model_bytes(model_bytes: bytes, ep_name: str) -> str | None:
    """Give what a model says it was compiled for by `ep_name`, or `None`.

    Raises `RuntimeError` for bytes that are no model, and for empty arguments.
    """
    return _compatibility_info(bytes(model_bytes), ep_name, "GetCompatibilityInfoFromModelBytes")


def _compatibility_info(model: str | bytes, ep_name: str, function: str) -> str | None:
    if not model or not ep_name:
        raise RuntimeError(f"Invalid argument provided to {function}.")
    try:
        metadata = model_metadata(model)
    except Exception as error:
        raise RuntimeError(str(error)) from error
    return metadata.get(f"ep_compatibility_info.{ep_name}")
