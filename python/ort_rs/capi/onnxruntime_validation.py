"""What ONNX Runtime checks when it is imported; nothing here depends on the system or on versions of CUDA."""

from ort_rs.capi.build_and_package_info import __version__, cuda_version, package_name


def check_distro_info() -> None:
    """Do nothing: every system that the wheel installs on is good."""


def check_training_module() -> tuple[bool, str, str, str]:
    """Tell whether this is a package for training, which it is not; then the same as `get_package_name_and_version_info`."""
    return False, *get_package_name_and_version_info()


def get_package_name_and_version_info() -> tuple[str, str, str]:
    """Give the package name, the level of the API, and the version of CUDA, empty for none."""
    return package_name, __version__, cuda_version
