"""Element types, both ways."""

import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ort_rs
from models import identity, model
from paired import assert_same

NUMPY: dict[str, Any] = {
    "bool": np.bool_,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "float16": np.float16,
    "float": np.float32,
    "double": np.float64,
}

EXTENSIONS: dict[str, Any] = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
    "int4": ml_dtypes.int4,
    "uint4": ml_dtypes.uint4,
    "float4e2m1": ml_dtypes.float4_e2m1fn,
    "float8e8m0": ml_dtypes.float8_e8m0fnu,
    "int2": ml_dtypes.int2,
    "uint2": ml_dtypes.uint2,
}


@pytest.mark.parametrize("name", NUMPY)
def test_types_of_numpy(name: str) -> None:
    x: Any = np.array([[0, 1, 1], [1, 0, 1]]).astype(NUMPY[name])
    assert_same(lambda ort: ort.InferenceSession(identity(f"{name}[2,3]")).run(None, {"x": x}))


@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_complex_numbers(name: str) -> None:
    """ONNX Runtime cannot take them."""
    x = np.array([1 + 2j, -3j], name)
    (y,) = ort_rs.InferenceSession(identity(f"{name}[2]")).run(None, {"x": x})
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("other", [np.longlong, np.ulonglong, np.intc, np.int_])
def test_types_with_several_names(other: Any) -> None:
    x: Any = np.array([1, 2], other)
    assert_same(lambda ort: ort.InferenceSession(identity(f"{x.dtype.name}[2]")).run(None, {"x": x}))


@pytest.mark.parametrize("length", [0, 1, 7, 8])
@pytest.mark.parametrize("name", EXTENSIONS)
def test_types_of_ml_dtypes(name: str, length: int) -> None:
    """ONNX Runtime cannot take them."""
    x = np.array([0, 1, -1, 1, 0, 1, -1, 0][:length], np.float32).astype(EXTENSIONS[name])
    (y,) = ort_rs.InferenceSession(identity(f"{name}[{length}]", opset=25, ir=13)).run(None, {"x": x})
    assert y.dtype == x.dtype
    assert y.tobytes() == x.tobytes()


def test_raw_bits_are_no_bfloat16() -> None:
    session = ort_rs.InferenceSession(identity("bfloat16[2]"))
    with pytest.raises(Exception, match=r"Actual: \(tensor\(uint16\)\) , expected: \(tensor\(bfloat16\)\)"):
        session.run(None, {"x": np.zeros(2, np.uint16)})


WITHOUT_ML_DTYPES = """
import sys
sys.modules["ml_dtypes"] = None
import numpy as np, ort_rs
(y,) = ort_rs.InferenceSession(sys.stdin.buffer.read()).run(None, {"x": np.array([1, -2], np.float32)})
assert y.dtype == np.uint16 and y.tolist() == [0x3F80, 0xC000], y
"""


def test_bits_without_ml_dtypes() -> None:
    body = model("g (float[2] x) => (bfloat16[2] y) { y = Cast <to = 16> (x) }")
    subprocess.run([sys.executable, "-c", WITHOUT_ML_DTYPES], input=body, check=True)
