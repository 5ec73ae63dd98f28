"""Operators of language models: mixtures of experts, rotations by position, convolutions that keep a state."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ort_rs
from nodes import RNG, Case, assert_as_onnx_runtime, floats, model_of, octets

EXPERTS, HIDDEN, INNER, TOKENS = 4, 32, 64, 6
SWIGLU = {"activation_type": "swiglu", "swiglu_fusion": 1, "activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 7.0}


def mixtures() -> Iterator[Case]:
    x, router = floats(2, 3, HIDDEN), floats(TOKENS, EXPERTS)
    out = [floats(EXPERTS, HIDDEN, INNER), floats(EXPERTS, HIDDEN)]
    into = [floats(EXPERTS, INNER, HIDDEN), floats(EXPERTS, INNER)]
    for activation in ("relu", "gelu", "silu", "identity"):
        yield Case("MoE", [x, router, *into, *out], {"k": 2, "activation_type": activation})
    yield Case("MoE", [x, router, into[0], None, out[0]], {"k": 3, "normalize_routing_weights": 1})
    yield Case("MoE", [x[0], router[:3], into[0], None, out[0]])
    yield Case("MoE", [x, router, floats(EXPERTS, 2 * INNER, HIDDEN), None, *out], {"k": 2} | SWIGLU)


def scales(*shape: int) -> Any:
    return (np.abs(floats(*shape)) * 0.02 + 0.01).astype(np.float32)


def quantized_mixtures() -> Iterator[Case]:
    x, router = floats(2, 3, HIDDEN), floats(TOKENS, EXPERTS)
    for bits in (2, 4, 8):
        for block in (0, 16, 32):
            for width, activation in ((INNER, {"activation_type": "silu"}), (2 * INNER, SWIGLU)):
                apart = 2e-2 if bits == 2 else 1e-4
                attributes = {"k": 2, "expert_weight_bits": bits} | activation | ({"block_size": block} if block else {})
                sizes = [(width, HIDDEN), (HIDDEN, INNER)]
                # Blocks of a row that have a scale of their own.
                parts = [[cols // block] if block else [] for _, cols in sizes]
                products = [
                    (octets(EXPERTS, rows, cols * bits // 8), scales(EXPERTS, rows, *part), floats(EXPERTS, rows))
                    for (rows, cols), part in zip(sizes, parts, strict=True)
                ]
                inputs = [x, router, *products[0], *products[1]]
                yield Case("QMoE", inputs, attributes, apart=apart, constants=False)
                points = [
                    octets(EXPERTS, rows, -(-part[0] * bits // 8)) if part else octets(EXPERTS, rows * bits // 8)
                    for (rows, _), part in zip(sizes, parts, strict=True)
                ]
                yield Case("QMoE", [*inputs, None, None, None, *points], attributes, apart=apart, constants=False)
    yield Case("QMoE", [*inputs[:8], *[None] * 6, np.abs(floats(TOKENS, EXPERTS))], attributes, apart=apart, constants=False)
    into = [octets(EXPERTS, INNER, HIDDEN // 2), scales(EXPERTS, INNER), None]
    out = [octets(EXPERTS, HIDDEN, INNER // 2), scales(EXPERTS, HIDDEN)]
    yield Case("QMoE", [x, router, *into, *out], {"activation_type": "gelu"}, apart=1e-4)


def convolutions() -> Iterator[Case]:
    x, weights, bias = floats(2, 6, 7), floats(6, 1, 4), floats(6)
    for dilation in (1, 2):
        kept = 3 * dilation
        for activation in ("none", "silu"):
            attributes = {"activation": activation, "dilation": dilation}
            yield Case("CausalConvWithState", [x, weights, bias, floats(2, 6, kept)], attributes, 2)
            last = attributes | {"channels_last": 1}
            yield Case("CausalConvWithState", [floats(2, 7, 6), weights, bias, floats(2, kept, 6)], last, 2)
            yield Case("CausalConvWithState", [floats(2, 7, 3, 2), weights], last, 2)
    yield Case("CausalConvWithState", [x, weights], outputs=2)
    yield Case("CausalConvWithState", [x[:, :, :1], weights, bias, floats(2, 6, 3)], outputs=2)


def rotations() -> Iterator[Case]:
    turns = RNG.standard_normal((16, 8))
    cos, sin = np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)
    positions = np.tile(np.arange(5), (2, 1))
    for pairs in (0, 1):
        yield Case("RotaryEmbedding", [floats(2, 4, 5, 16), positions, cos, sin], {"interleaved": pairs})
        yield Case("RotaryEmbedding", [floats(2, 5, 64), np.array([3]), cos, sin], {"interleaved": pairs})
        part = {"interleaved": pairs, "rotary_embedding_dim": 16, "num_heads": 4}
        yield Case("RotaryEmbedding", [floats(2, 4, 5, 32), positions, cos, sin], part)


CASES = [*mixtures(), *quantized_mixtures(), *convolutions(), *rotations()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_as_onnx_runtime(case: Case) -> None:
    assert_as_onnx_runtime(case)


def test_what_is_not_computed_is_named() -> None:
    x, router = floats(2, 3, HIDDEN), floats(TOKENS, EXPERTS)
    inputs = [x, router, floats(EXPERTS, INNER, HIDDEN), None, floats(EXPERTS, HIDDEN, INNER)]
    third = Case("MoE", [*inputs, None, floats(EXPERTS, INNER, HIDDEN)])
    for case, text in ((third, "third product"), (Case("MoE", inputs, {"use_sparse_mixer": 1}), "use_sparse_mixer")):
        with pytest.raises(ort_rs.capi.onnxruntime_pybind11_state.NotImplemented, match=text):
            ort_rs.InferenceSession(model_of(case)[0])
