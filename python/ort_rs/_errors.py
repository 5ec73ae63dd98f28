"""Exceptions that ONNX Runtime has not."""

from ort_rs._core import Fail


class RunTimeout(Fail, TimeoutError):
    """A run that was not over after the seconds that its `timeout` gave it."""
