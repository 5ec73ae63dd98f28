"""How far two answers lie apart."""

from typing import Any

import numpy as np


class DifferentKindError(Exception):
    """Answers that cannot be subtracted: their number, types or shapes differ."""


def difference(got: Any, expected: Any) -> float:
    """The relative L2 error of `got`, the largest over all tensors: ‖got - expected‖ / ‖expected‖.

    Lists are compared item by item, strings must be equal. Not a number in one place only, or a difference from zeros, is infinite.
    """
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(expected):
            raise DifferentKindError(f"{_kind(got)} where {_kind(expected)} is expected")
        return max((difference(a, b) for a, b in zip(got, expected, strict=True)), default=0.0)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            raise DifferentKindError(f"{_kind(got)} where {_kind(expected)} is expected")
        return max((difference(got[key], expected[key]) for key in expected), default=0.0)
    a, b = np.asarray(got), np.asarray(expected)
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        raise DifferentKindError(f"{a.dtype}{list(a.shape)} where {b.dtype}{list(b.shape)} is expected")
    return _relative_l2(a, b)


def _relative_l2(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    if a.dtype.kind in "OUS":
        return 0.0 if np.array_equal(a, b) else np.inf
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    a, b = a.astype(wide).ravel(), b.astype(wide).ravel()
    # Infinities and what is not a number must be in the same places, and say nothing of the rest.
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    a, b = a[finite], b[finite]
    apart, size = float(np.linalg.norm(a - b)), float(np.linalg.norm(b))
    if np.isnan(apart) or (size == 0 and apart > 0):
        return np.inf
    return apart / size if size else 0.0


def _kind(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__
