"""The same call on ONNX Runtime and on ort_rs, and whether it ends the same way."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime

import ort_rs


@dataclass
class Ending:
    """How a call ended: with a value, or with an exception."""

    value: Any = None
    error: Exception | None = None

    @property
    def kind(self) -> str:
        """The class of the exception; `value` without one."""
        return "value" if self.error is None else type(self.error).__name__


def ending(call: Callable[[], Any]) -> Ending:
    """Make `call` and tell how it ended."""
    try:
        return Ending(value=call())
    except Exception as e:
        return Ending(error=e)


def both(call: Callable[[ModuleType], Any]) -> tuple[Ending, Ending]:
    """Make `call` with ONNX Runtime, then with ort_rs."""
    theirs = ending(lambda: call(onnxruntime))
    return theirs, ending(lambda: call(ort_rs))


def assert_same(call: Callable[[ModuleType], Any], text: bool = True) -> Ending:
    """Check that `call` ends the same way with both: equal values, or exceptions of one class and, if asked, one text."""
    theirs, ours = both(call)
    assert ours.kind == theirs.kind, f"{ours.error or ours.value} against {theirs.error or theirs.value}"
    if theirs.error is None:
        assert_equal(ours.value, theirs.value)
    elif text:
        assert str(ours.error) == str(theirs.error)
    return ours


def assert_equal(ours: Any, theirs: Any) -> None:
    """Check that two results are equal in kind, type, shape and content."""
    if isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_array_equal(ours, theirs)
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs)
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            assert_equal(a, b)
    elif isinstance(theirs, dict):
        assert isinstance(ours, dict)
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert_equal(ours[key], value)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs
