"""Operators that ONNX Runtime's optimizers put in the place of others, as programs find them in optimized models."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nodes import RNG, Case, assert_as_onnx_runtime, floats, octets, scale, zero

HEADS = {"num_heads": 4}
WIDTH, BATCH, ROWS = 16, 2, 5


def ints(*rows: Any) -> Any:
    return np.array(rows, np.int32)


def attention() -> Iterator[Case]:
    x, weights, bias = floats(BATCH, ROWS, WIDTH), floats(WIDTH, 3 * WIDTH), floats(3 * WIDTH)
    ragged = ints([1, 1, 1, 0, 0], [1, 1, 1, 1, 1])
    masks = [ints(3, 5), ragged, ints(3, 5, 1, 0), RNG.integers(0, 2, (BATCH, ROWS, ROWS)).astype(np.int32)]
    for mask in (None, *masks):
        yield Case("Attention", [x, weights, bias, mask], HEADS)
        yield Case("Attention", [x, weights, bias, mask], HEADS | {"unidirectional": 1, "mask_filter_value": -100.0})
    past = floats(2, BATCH, 4, 3, WIDTH // 4)
    yield Case("Attention", [x, weights, bias, None, past], HEADS, 2)
    longer = ints([1, 1, 1, 0, 0, 0, 1, 1], [1] * 8)
    yield Case("Attention", [x, weights, bias, longer, past], HEADS | {"unidirectional": 1}, 2)
    yield Case("Attention", [x, weights, bias, None, None, floats(1, 4, ROWS, ROWS)], HEADS, 2)
    yield Case("Attention", [x, floats(WIDTH, 56), floats(56)], HEADS | {"qkv_hidden_sizes": [16, 16, 24]})
    yield Case("Attention", [x, weights, bias], HEADS | {"scale": 0.3})


def activations() -> Iterator[Case]:
    x = floats(BATCH, ROWS, WIDTH)
    yield Case("BiasGelu", [x, floats(WIDTH)])
    yield Case("FastGelu", [x, floats(WIDTH)])
    yield Case("FastGelu", [x])
    yield Case("Gelu", [x])
    yield Case("QuickGelu", [x], {"alpha": 1.7})


def products() -> Iterator[Case]:
    image, kernels = floats(1, 4, 7, 7), floats(6, 4, 3, 3)
    parameters = {"Relu": [], "LeakyRelu": [0.1], "Clip": [-0.5, 0.5], "HardSigmoid": [0.2, 0.5], "Tanh": [], "Sigmoid": []}
    for name, numbers in parameters.items():
        attributes: dict[str, Any] = {"activation": name, "pads": [1, 1, 1, 1]}
        attributes |= {"activation_params": numbers} if numbers else {}
        yield Case("FusedConv", [image, kernels, floats(6)], attributes)
        yield Case("FusedConv", [image, kernels, floats(6), floats(1, 6, 7, 7)], attributes)
        if name != "Clip":
            named = dict(zip(("activation_alpha", "activation_beta"), numbers, strict=False))
            attributes = {"activation": name, "transB": 1, "alpha": 0.5, "beta": 2.0} | named
            yield Case("FusedGemm", [floats(3, 4), floats(5, 4), floats(5)], attributes)
    for a in (0, 1):
        for b in (0, 1):
            sides = [floats(2, 4, 3) if a else floats(2, 3, 4), floats(2, 5, 4) if b else floats(2, 4, 5)]
            yield Case("FusedMatMul", sides, {"transA": a, "transB": b, "alpha": 0.7})
            yield Case("TransposeMatMul", sides, {"transA": a, "transB": b})
    yield Case("FusedMatMul", [floats(3, 2, 4), floats(2, 4, 5)], {"transBatchA": 1})
    yield Case("FusedMatMul", [floats(2, 3, 4), floats(4, 2, 5)], {"transBatchB": 1})
    yield Case("FusedMatMul", [floats(4, 2, 3), floats(4, 2, 5)], {"transBatchA": 1, "transA": 1, "transBatchB": 1})


def normalizations() -> Iterator[Case]:
    x, (gamma, beta, bias) = floats(BATCH, ROWS, WIDTH), (floats(WIDTH) for _ in range(3))
    told = dict.fromkeys((1, 2, 3), np.float32)
    for skip in (floats(BATCH, ROWS, WIDTH), floats(1, ROWS, WIDTH), floats(ROWS, WIDTH)):
        yield Case("SkipLayerNormalization", [x, skip, gamma, beta, bias], {"epsilon": 1e-5}, 4, types=told)
        yield Case("SkipLayerNormalization", [x, skip, gamma])
        yield Case("SkipSimplifiedLayerNormalization", [x, skip, gamma, bias], outputs=4, types=told)
    halves = [v.astype(np.float16) for v in (x, x, gamma, beta)]
    yield Case("SkipLayerNormalization", halves, apart=5e-3)
    ids = RNG.integers(0, 7, (BATCH, ROWS)).astype(np.int32)
    tables = [floats(rows, WIDTH) for rows in (7, 9, 2)]
    mask = ints([1, 1, 1, 0, 0], [1] * 5)
    yield Case("EmbedLayerNormalization", [ids, ids % 2, *tables, gamma, beta, mask], outputs=3, types={2: np.float32})
    positions = np.tile(np.arange(ROWS)[::-1], (BATCH, 1)).astype(np.int32)
    yield Case("EmbedLayerNormalization", [ids, None, *tables[:2], None, gamma, beta, None, positions], outputs=2)


def quantized() -> Iterator[Case]:
    for dtype, point in ((np.uint8, 3), (np.int8, -3), (np.uint16, 3), (np.int16, -3)):
        codes = octets(2, 3, 4, dtype=dtype)
        yield Case("DequantizeLinear", [codes, scale(0.1), zero(point, dtype)])
        yield Case("QuantizeLinear", [floats(2, 3, 4), scale(0.1), zero(point, dtype)])
        scales = np.array([0.1, 0.2, 0.3], np.float32)
        yield Case("DequantizeLinear", [codes, scales, np.array([1, 2, 3], dtype)], {"axis": 1})
    rows, columns = 256, 24
    for bits in (2, 4, 8):
        for block in (16, 32, 128):
            blocks = rows // block
            inputs = [floats(2, 3, rows), octets(columns, blocks, block * bits // 8), np.abs(floats(columns, blocks)) * 0.02]
            attributes = {"K": rows, "N": columns, "bits": bits, "block_size": block}
            yield Case("MatMulNBits", inputs, attributes, apart=1e-4)
            yield Case("MatMulNBits", [*inputs, octets(columns, -(-blocks * bits // 8))], attributes, apart=1e-4)
            yield Case("MatMulNBits", [*inputs, None, None, floats(columns)], attributes, apart=1e-4)
            # What is multiplied is rounded to bytes, in ways of its own on either side.
            yield Case("MatMulNBits", inputs, attributes | {"accuracy_level": 4}, apart=3e-2)
    hidden = 8
    weights = [octets(1, size, 4 * hidden, dtype=np.int8) for size in (WIDTH, hidden)]
    steps = [np.array([0.01], np.float32), np.array([0], np.int8)]
    inputs = [floats(3, 2, WIDTH), *weights, floats(1, 8 * hidden), None, None, None, None, *steps, *steps]
    yield Case("DynamicQuantizeLSTM", inputs, {"hidden_size": hidden}, 3, apart=1e-2)


CASES = [*attention(), *activations(), *products(), *normalizations(), *quantized()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_as_onnx_runtime(case: Case) -> None:
    assert_as_onnx_runtime(case)
