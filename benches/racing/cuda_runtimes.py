"""The runtimes that are raced on a CUDA device: each runs on memory of the device, and has ended when a run returns."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from racing.cuda_works import Array, Work

CUDA = "CUDAExecutionProvider"
# Ours where cuBLASLt may not compute products: of interest for works that have some.
OWN_PRODUCTS = "ort_rs without cuBLASLt"

# What a runtime makes of a work: what runs it once, and what then gives the result.
Ready = tuple[Callable[[], object], Callable[[], Array]]


def absent() -> str | None:
    """Why ort_rs cannot use a CUDA device here, if so."""
    import ort_rs

    try:
        ort_rs.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda", 0)
    except RuntimeError as error:
        return str(error)
    return None if CUDA in ort_rs.get_available_providers() else "ort_rs was built without CUDA kernels"


def _on_runtime(module: Any, work: Work, **provider: str) -> Ready:
    options = module.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = module.InferenceSession(work.model, options, providers=[(CUDA, provider)])
    binding = session.io_binding()
    x = module.OrtValue.ortvalue_from_numpy(work.x, "cuda", 0)
    binding.bind_ortvalue_input("x", x)
    binding.bind_output("y", "cuda")
    return lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0]


def ort_rs(work: Work) -> Ready:
    """Make ours ready."""
    import ort_rs as module

    return _on_runtime(module, work)


def without_cublas(work: Work) -> Ready:
    """Make ours ready with its own kernels of products."""
    import ort_rs as module

    return _on_runtime(module, work, use_cublas="0")


def onnxruntime(work: Work) -> Ready:
    """Make ONNX Runtime ready."""
    import onnxruntime as module

    return _on_runtime(module, work)


def torch(work: Work) -> Ready:
    """Make PyTorch ready, without its compiler."""
    module: Any = importlib.import_module("torch")
    x = module.from_numpy(work.x).cuda()
    weights = {name: module.from_numpy(array).cuda() for name, array in work.weights.items()}
    last: list[Any] = []

    def run() -> None:
        with module.inference_mode():
            last[:] = [work.torch(module, x, weights)]
        module.cuda.synchronize()

    return run, lambda: last[0].cpu().numpy()


def installed() -> dict[str, Callable[[Work], Ready]]:
    """The runtimes that can use a device here, this one first."""
    found: dict[str, Callable[[Work], Ready]] = {"ort_rs": ort_rs, OWN_PRODUCTS: without_cublas}
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime as module

        if CUDA in module.get_available_providers():
            found["onnxruntime"] = onnxruntime
    if importlib.util.find_spec("torch") and importlib.import_module("torch").cuda.is_available():
        found["torch"] = torch
    return found


def copy_bandwidth(size: int) -> tuple[Callable[[], object], int]:
    """A copy on the device, and the bytes that it reads and writes: the limit of what memory bounds."""
    import ort_rs as module

    source, target = (module.OrtValue.ortvalue_from_shape_and_type([size], np.uint8, "cuda", 0) for _ in range(2))
    return lambda: target.update_inplace(source), 2 * size
