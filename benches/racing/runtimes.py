"""The runtimes that race, each behind the same three calls."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Runtime(ABC):
    """A runtime in this process; making one imports it."""

    @abstractmethod
    def open(self, path: Path, threads: int) -> None:
        """Load the model in the file `path`, to be run on so many threads."""

    @abstractmethod
    def run(self, feeds: Mapping[str, Any]) -> Any:
        """Run the model once; the answer is good until the next run."""

    def answer(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Run the model once and give its outputs in the order of the model."""
        return list(self.run(feeds))


class WithOnnxRuntimeApi(Runtime):
    """ONNX Runtime, and all that has its API."""

    def __init__(self, module: str) -> None:
        self._module: Any = importlib.import_module(module)

    def open(self, path: Path, threads: int) -> None:
        """Make a session with what is default beside the number of threads."""
        options = self._module.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = self._module.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Mapping[str, Any]) -> Any:
        """Fetch all outputs."""
        return self._session.run(None, feeds)


class OpenVino(Runtime):
    """OpenVINO with float32 throughout, as the others have it, and its faster ways to take inputs and give outputs."""

    def __init__(self) -> None:
        self._module: Any = importlib.import_module("openvino")

    def open(self, path: Path, threads: int) -> None:
        """Read and compile the model for few and quick answers."""
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        model = self._module.compile_model(path, "CPU", settings)
        self._outputs = list(model.outputs)
        self._request = model.create_infer_request()

    def run(self, feeds: Mapping[str, Any]) -> Any:
        """Run without copies of inputs and outputs."""
        return self._request.infer(feeds, share_inputs=True, share_outputs=True)

    def answer(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Copy the outputs from the memory of the request."""
        results = self.run(feeds)
        return [results[output].copy() for output in self._outputs]


_MAKERS = {
    "onnxruntime": lambda: WithOnnxRuntimeApi("onnxruntime"),
    "ort_rs": lambda: WithOnnxRuntimeApi("ort_rs"),
    "openvino": OpenVino,
}
# The one that the others are compared with.
REFERENCE = "onnxruntime"


def installed() -> list[str]:
    """The names of the runtimes that can be imported here."""
    return [name for name in _MAKERS if importlib.util.find_spec(name)]


def load(name: str) -> Runtime:
    """Import the runtime called `name`."""
    return _MAKERS[name]()
