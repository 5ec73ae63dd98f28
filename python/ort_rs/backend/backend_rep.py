"""A model that a backend has made ready to run."""

from typing import Any

from onnx.backend.base import BackendRep

from ort_rs import InferenceSession, RunOptions
from ort_rs.backend.keywords import set_attributes

# What a caller may set through keywords; `terminate` would make every run fail.
_ALLOWED_RUN_OPTIONS = frozenset({"log_severity_level", "log_verbosity_level", "logid", "only_execute_path_to_fetches"})


class OnnxRuntimeBackendRep(BackendRep):
    """A session behind the interface of ONNX's backends."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session

    def run(self, inputs: Any, **kwargs: Any) -> list[Any]:  # type: ignore[override]  # ONNX Runtime gives a list too.
        """Run the model on `inputs`, a list of values in the model's order or the only value, and give all outputs.

        Keywords set attributes of the run's options; `terminate` raises `RuntimeError`, and unknown ones are ignored.
        """
        options = RunOptions()
        set_attributes(options, kwargs, _ALLOWED_RUN_OPTIONS)
        ports = self._session.get_inputs()
        if not isinstance(inputs, list):
            if len(ports) != 1:
                raise RuntimeError(f"Model expect {len(ports)} inputs")
            inputs = [inputs]
        feed = {port.name: value for port, value in zip(ports, inputs, strict=False)}
        return self._session.run(None, feed, options)
