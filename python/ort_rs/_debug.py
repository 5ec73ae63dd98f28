"""What this installation consists of, and the CUDA libraries that it may load."""

import ctypes
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from ort_rs._core import __version__, get_available_providers, get_build_info

# The libraries that the CUDA provider loads, in the order of their dependencies, as NVIDIA's packages for Python lay them out.
_CUDA = (
    ("cublas", "libcublasLt.so.12"),
    ("cublas", "libcublas.so.12"),
    ("cuda_nvrtc", "libnvrtc.so.12"),
    ("curand", "libcurand.so.10"),
    ("cufft", "libcufft.so.11"),
    ("cuda_runtime", "libcudart.so.12"),
)
_CUDNN = (("cudnn", "libcudnn.so.9"),)
# The same on Windows, where cuDNN comes in parts.
_CUDA_OF_WINDOWS = (
    ("cublas", "cublasLt64_12.dll"),
    ("cublas", "cublas64_12.dll"),
    ("cufft", "cufft64_11.dll"),
    ("cuda_runtime", "cudart64_12.dll"),
)
_PARTS = ("_engines_runtime_compiled", "_engines_precompiled", "_heuristic", "_ops", "_adv", "_graph", "", "_engines_tensor_ir")
_CUDNN_OF_WINDOWS = tuple(("cudnn", f"cudnn{part}64_9.dll") for part in _PARTS)
_PACKAGES = ("ort-rs", "onnxruntime", "onnx", "numpy", "torch")


def print_debug_info() -> None:
    """Print what helps to find out why something does not work: versions, the platform, providers, and loaded CUDA libraries."""
    print(f"ort_rs version: {__version__}")
    print(get_build_info())
    print("platform:", platform.platform())
    print("python:", sys.version.replace("\n", " "))
    print("providers:", ", ".join(get_available_providers()))
    print("\nPackages:")
    for name in _PACKAGES:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} not installed")
        else:
            print(f"{name}=={distribution.version} at {distribution.locate_file('')}")
    print(f"\nLD_LIBRARY_PATH={os.environ.get('LD_LIBRARY_PATH', '(unset)')}")
    print("\nLoaded CUDA libraries:")
    for path in sorted(_loaded_libraries()):
        print(path)


def _loaded_libraries() -> set[str]:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return set()
    paths = (line.split(maxsplit=5)[5:] for line in maps.read_text(encoding="utf-8", errors="replace").splitlines())
    kinds = ("cublas", "cudart", "cufft", "curand", "cudnn", "nvrtc", "libcuda.")
    return {path[0] for path in paths if path and any(kind in Path(path[0]).name for kind in kinds)}


def preload_dlls(cuda: bool = True, cudnn: bool = True, msvc: bool = True, directory: str | None = None) -> None:  # noqa: ARG001
    """Load the libraries of CUDA and cuDNN, so that whoever needs them later finds them.

    They are looked for in `directory` if it is given, relative to this package; then, if it is `None` or empty, among NVIDIA's
    packages for Python; then where the system looks. What cannot be loaded is said. `msvc` has no meaning here.
    """
    for package, name in (_CUDA if cuda else ()) + (_CUDNN if cudnn else ()):
        if platform.system() == "Linux" and not any(_load(place) for place in _places(package, name, directory)):
            print(f"Failed to load {name}: it was found in none of the places where it is looked for")


def _get_nvidia_dll_paths(is_windows: bool, cuda: bool = True, cudnn: bool = True) -> Iterator[tuple[str, str, str, str]]:
    """Where NVIDIA's packages for Python have the libraries of CUDA and cuDNN: parts of paths, in the order of their dependencies."""
    of_cuda, of_cudnn, folder = (_CUDA_OF_WINDOWS, _CUDNN_OF_WINDOWS, "bin") if is_windows else (_CUDA, _CUDNN, "lib")
    for package, name in (of_cuda if cuda else ()) + (of_cudnn if cudnn else ()):
        yield "nvidia", package, folder, name


def _places(package: str, name: str, directory: str | None) -> Iterator[str]:
    if directory:
        yield str(Path(__file__).parent / directory / name)
    else:
        yield from (str(Path(entry) / "nvidia" / package / "lib" / name) for entry in sys.path if entry)
    yield name


def _load(path: str) -> bool:
    if Path(path).is_absolute() and not Path(path).exists():
        return False
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True
