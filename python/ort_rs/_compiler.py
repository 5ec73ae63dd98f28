"""Models written out as sessions would run them, for providers that compile ahead of time and for none."""

import copy
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ort_rs._core import Fail, InferenceSession, InvalidArgument, OrtValue, SessionOptions
from ort_rs._enums import GraphOptimizationLevel, OrtCompileApiFlags
from ort_rs._provider_data import OrtEpContextData


class OrtExternalInitializerInfo:
    """Where the data of an initializer lies in a file of its own."""

    def __init__(self, filepath: str | os.PathLike[str], file_offset: int, byte_size: int) -> None:
        """Name the file, and the first byte and the number of bytes in it."""
        self._filepath, self._file_offset, self._byte_size = os.fspath(filepath), int(file_offset), int(byte_size)

    @property
    def filepath(self) -> str:
        """The path of the file, relative to the model's folder."""
        return self._filepath

    @property
    def file_offset(self) -> int:
        """The first byte of the data."""
        return self._file_offset

    @property
    def byte_size(self) -> int:
        """The number of bytes."""
        return self._byte_size


_Locate = Callable[[str, OrtValue, OrtExternalInitializerInfo | None], OrtExternalInitializerInfo | None]


def make_get_initializer_location_func_wrapper(get_initializer_location_func: _Locate) -> _Locate:
    """Give a function that calls `get_initializer_location_func` and checks that it gives a place, or `None`."""

    def locate(
        initializer_name: str, initializer_value: OrtValue, external_info: OrtExternalInitializerInfo | None
    ) -> OrtExternalInitializerInfo | None:
        place = get_initializer_location_func(initializer_name, initializer_value, external_info)
        if place is not None and not isinstance(place, OrtExternalInitializerInfo):
            raise TypeError(f"the place of an initializer is an OrtExternalInitializerInfo or None, not {type(place)}")
        return place

    return locate


class ModelCompiler:
    """Writes a model as the providers that a session asks for would have it.

    The providers of this build compile nothing ahead of time, so the model that is written is the given one, optimized as far as
    `graph_optimization_level` says.
    """

    def __init__(
        self,
        sess_options: SessionOptions,
        input_model_path_or_bytes: str | os.PathLike[str] | bytes,
        embed_compiled_data_into_model: bool = False,  # noqa: ARG002  # Nothing is compiled.
        external_initializers_file_path: str | os.PathLike[str] | None = None,
        external_initializers_size_threshold: int = 1024,
        flags: int = OrtCompileApiFlags.NONE,
        graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_DISABLE_ALL,
        get_initializer_location_func: _Locate | None = None,
    ) -> None:
        """Take the model at a path, or the bytes of one.

        With `external_initializers_file_path`, initializers of more bytes than `external_initializers_size_threshold` go to that file.
        `flags` are those of `OrtCompileApiFlags`. `get_initializer_location_func` is called with the name of each initializer, its
        value, and where its data lay if that was in a file of its own; it says where the data goes, having written it there, or gives
        `None` to keep it in the model.

        Raises `ValueError` for an empty path or no bytes, and for both ways to place initializers.
        """
        if not isinstance(input_model_path_or_bytes, (bytes, str, os.PathLike)):
            raise TypeError(f"Unable to load from type '{type(input_model_path_or_bytes)}'")
        if not input_model_path_or_bytes:
            what = "bytes array" if isinstance(input_model_path_or_bytes, bytes) else "path"
            raise ValueError(f"Input model {what} is empty")
        if external_initializers_file_path and get_initializer_location_func is not None:
            raise ValueError(
                "Cannot initialize ModelCompiler with both `external_initializers_file_path` and `get_initializer_location_func`"
            )
        if not isinstance(input_model_path_or_bytes, bytes) and not Path(input_model_path_or_bytes).exists():
            raise InvalidArgument(
                f"[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Input model path does not exist: {input_model_path_or_bytes}"
            )
        self._model = input_model_path_or_bytes
        self._options = copy.copy(sess_options)
        self._options.graph_optimization_level = graph_optimization_level
        if external_initializers_file_path:
            self._options.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", os.fspath(external_initializers_file_path)
            )
            self._options.add_session_config_entry(
                "session.optimized_model_external_initializers_min_size_in_bytes", str(external_initializers_size_threshold)
            )
        if get_initializer_location_func is not None:
            self._options._locate_initializers(make_get_initializer_location_func_wrapper(get_initializer_location_func))
        self._flags = int(flags)
        self._write_func: Callable[[str, OrtEpContextData], None] | None = None

    def compile_to_file(self, output_model_path: str | os.PathLike[str] | None = None) -> None:
        """Write the model to a path; without one, beside the given model, `_ctx` behind its name.

        Raises `Fail` for what the flags take for an error.
        """
        if output_model_path is None:
            if isinstance(self._model, bytes):
                raise InvalidArgument("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Output model path was not set, and the model has none")
            given = Path(self._model)
            output_model_path = given.with_name(f"{given.stem}_ctx.onnx")
        path = Path(output_model_path)
        if self._flags & OrtCompileApiFlags.ERROR_IF_OUTPUT_FILE_EXISTS and path.exists():
            raise Fail(f"[ONNXRuntimeError] : 1 : FAIL : Failed to generate EPContext model: the file '{path}' exists already")
        self._write(path)

    def compile_to_bytes(self) -> bytes:
        """Give the model as bytes.

        Raises `Fail` for what the flags take for an error.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            self._write(path)
            return path.read_bytes()

    def compile_to_stream(self, write_function: Callable[[bytes], None]) -> None:
        """Hand the model to `write_function`, as bytes.

        Raises `Fail` for what the flags take for an error, and when the function raises.
        """
        model = self.compile_to_bytes()
        try:
            write_function(model)
        except Exception as error:
            raise Fail(f"[ONNXRuntimeError] : 1 : FAIL : {error}") from error

    def set_ep_context_data_write_func(self, write_func: Callable[[str, OrtEpContextData], None]) -> None:
        """Let `write_func` have what providers compile, by its name; those of this build compile nothing, so it is never called.

        Raises `TypeError` for what cannot be called.
        """
        if not callable(write_func):
            raise TypeError(f"write_func must be callable, not {type(write_func)}")
        self._write_func = write_func

    def clear_ep_context_data_write_func(self) -> None:
        """Forget the function of `set_ep_context_data_write_func`."""
        self._write_func = None

    def _write(self, path: Path) -> None:
        if self._flags & OrtCompileApiFlags.ERROR_IF_NO_NODES_COMPILED:
            raise Fail("[ONNXRuntimeError] : 1 : FAIL : Unable to compile any nodes: no provider of this session compiles")
        options = copy.copy(self._options)
        options.optimized_model_filepath = str(path)
        InferenceSession(self._model, options)
