"""Weights quantized in blocks, as ONNX Runtime's tools call for: the same bytes."""

from typing import Any

import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as theirs

from ort_rs.capi import onnxruntime_pybind11_state as ours

TYPES = [np.float32, np.float16]
SIZES = [(64, 5, 16), (100, 7, 32), (37, 3, 16), (33, 1, 32), (129, 4, 64), (16, 2, 128), (300, 2, 256)]


def weights(rows: int, columns: int, dtype: Any) -> Any:
    numbers = np.random.default_rng(rows).standard_normal((rows, columns)) * 3
    if rows == 37:
        numbers[:16] = 0
    if rows == 100:
        numbers = np.abs(numbers)
    return numbers.astype(dtype)


def columns_quantized(native: Any, bits: int, source: Any, size: int, symmetric: bool) -> Any:
    rows, columns = source.shape
    count, per_byte = -(-rows // size), 8 // bits
    levels = np.zeros((columns, count, size // per_byte), np.uint8)
    scales, zeros = np.zeros(columns * count, source.dtype), np.zeros((columns, -(-count // per_byte)), np.uint8)
    answer = getattr(native, f"quantize_matmul_{bits}bits")(levels, source, scales, zeros, size, columns, rows, symmetric)
    return levels, scales, zeros, answer


def rows_quantized(native: Any, bits: int, source: Any, size: int, symmetric: bool) -> Any:
    rows, columns = source.shape
    count, per_byte = -(-rows // size), 8 // bits
    levels = np.zeros(-(-rows * columns // per_byte), np.uint8)
    scales, zeros = np.zeros((count, columns), source.dtype), np.zeros(-(-count * columns // per_byte), np.uint8)
    answer = getattr(native, f"quantize_qdq_matmul_{bits}bits")(levels, source, scales, zeros, size, columns, rows, symmetric)
    return levels, scales, zeros, answer


def assert_same_arrays(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("rows", "columns", "size"), SIZES)
@pytest.mark.parametrize("symmetric", [True, False])
def test_columns(bits: int, dtype: Any, rows: int, columns: int, size: int, symmetric: bool) -> None:
    source = weights(rows, columns, dtype)
    assert_same_arrays(*(columns_quantized(native, bits, source, size, symmetric) for native in (ours, theirs)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "columns", "size"), SIZES)
@pytest.mark.parametrize("symmetric", [True, False])
def test_rows(dtype: Any, rows: int, columns: int, size: int, symmetric: bool) -> None:
    source = weights(rows, columns, dtype)
    assert_same_arrays(*(rows_quantized(native, 4, source, size, symmetric) for native in (ours, theirs)))


def test_rows_of_two_bits() -> None:
    """ONNX Runtime writes four bits for each of two and past the end; here the numbers come back."""
    source = weights(64, 5, np.float32)
    levels, scales, zeros, signed = rows_quantized(ours, 2, source, 16, symmetric=False)
    unpacked = (levels[:, None] >> np.arange(0, 8, 2) & 3).reshape(64, 5)
    points = (zeros[:, None] >> np.arange(0, 8, 2) & 3).reshape(4, 5)
    back = (unpacked.astype(np.float32).reshape(4, 16, 5) - points[:, None]) * scales[:, None]
    assert not signed
    assert np.abs(back.reshape(64, 5) - source).max() <= scales.max()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("table", [0, 1])
@pytest.mark.parametrize(("n", "k", "size"), [(4, 64, 16), (3, 37, 16), (1, 1, 16), (5, 100, 64), (7, 33, 32)])
def test_bnb4(dtype: Any, table: int, n: int, k: int, size: int) -> None:
    source = weights(n, k, dtype)
    results = []
    for native in (ours, theirs):
        codes, largest = np.zeros((n * k + 1) // 2, np.uint8), np.zeros(-(-n * k // size), dtype)
        native.quantize_matmul_bnb4(codes, source, largest, size, table, n, k)
        results.append((codes, largest))
    assert_same_arrays(*results)


def test_fp4() -> None:
    for n, k in ((4, 6), (2, 4), (6, 8)):
        bytes_ = np.random.default_rng(n).integers(0, 256, (n, k // 2)).astype(np.uint8)
        packed = [native.pack_fp4_weights_for_cuda_moe_gemm(bytes_, n, k) for native in (ours, theirs)]
        np.testing.assert_array_equal(*packed)
    for native in (ours, theirs):
        for n, k in ((3, 8), (6, 7), (8, 8)):
            with pytest.raises(ValueError, match="N"):
                native.pack_fp4_weights_for_cuda_moe_gemm(bytes_, n, k)


@pytest.mark.parametrize("size", [8, 24, 512])
def test_blocks_that_kernels_do_not_take(size: int) -> None:
    source = weights(16, 2, np.float32)
    for native in (ours, theirs):
        with pytest.raises(RuntimeError):
            columns_quantized(native, 4, source, size, symmetric=True)


def test_arrays_that_do_not_fit() -> None:
    source, bytes_, scales = weights(16, 2, np.float32), np.zeros(16, np.uint8), np.zeros(2, np.float32)
    read_only = bytes_.copy()
    read_only.flags.writeable = False
    for levels, error in ((bytes_[:15], ValueError), (bytes_.astype(np.int8), TypeError), (read_only, TypeError)):
        with pytest.raises(error):
            ours.quantize_matmul_4bits(levels, source, scales, bytes_, 16, 2, 16, True)
