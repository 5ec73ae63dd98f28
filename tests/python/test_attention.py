"""Attention of ONNX Runtime's own domain: with caches of all kinds, of several beams, in windows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest

import ort_rs
from nodes import RNG, Case, assert_as_onnx_runtime, assert_close, floats, model_of

HEADS, KV_HEADS, SIZE = 4, 2, 32

# How a cache is written: its element type, bits, and elements of a scale.
KINDS: dict[str, tuple[Any, int, tuple[int, ...]]] = {
    "int8": (np.int8, 8, (1,)),
    "int8 by channel": (np.int8, 8, (1, KV_HEADS, 1, SIZE)),
    "int4": (np.uint8, 4, (1,)),
    "int4 by channel": (np.uint8, 4, (1, KV_HEADS, 1, SIZE)),
}
# Images with their positions so far, new positions, and positions that the past has room for.
STEPS = [([5, 5], 5, 0), ([5, 3], 5, 0), ([5, 5], 1, 4), ([5, 4], 1, 8), ([7], 3, 4), ([7], 3, 16)]


def grouped(
    lengths: list[int], rows: int, past: int, kind: str = "", packed: bool = False, more: dict[int, Any] | None = None, **attributes: Any
) -> Case:
    """A step of GroupQueryAttention; `more` are inputs by their place."""
    dtype = attributes.pop("dtype", np.float32)
    batch, total = len(lengths), max(lengths)
    inputs: list[Any] = [None] * 14
    widths = [HEADS + 2 * KV_HEADS] if packed else [HEADS, KV_HEADS, KV_HEADS]
    inputs[: len(widths)] = [floats(batch, rows, width * SIZE, dtype=dtype) for width in widths]
    inputs[3:5] = [floats(batch, KV_HEADS, past, SIZE, dtype=dtype) for _ in range(2)]
    inputs[5:7] = [np.array(lengths, np.int32) - 1, np.array([total], np.int32)]
    if kind:
        element, bits, shape = KINDS[kind]
        inputs[3:5] = [RNG.integers(-100, 100, (batch, KV_HEADS, past, SIZE * bits // 8)).astype(element) for _ in range(2)]
        inputs[12:14] = [(np.abs(floats(*shape)) + 1).astype(np.float32) * 0.16 / bits**0.9 for _ in range(2)]
        quant = "PER_TENSOR" if len(shape) == 1 else "PER_CHANNEL"
        attributes |= {"k_quant_type": quant, "v_quant_type": quant, "kv_cache_bit_width": bits}
    for place, value in (more or {}).items():
        inputs[place] = value
    while inputs[-1] is None:
        inputs.pop()
    attributes |= {"num_heads": HEADS, "kv_num_heads": KV_HEADS}
    present = (slice(None), slice(None), slice(min(lengths)))
    outputs = 4 if "qk_output" in attributes else 3
    seen = {1: present, 2: present} | ({3: (slice(None), slice(None), slice(None), slice(min(lengths)))} if outputs == 4 else {})
    return Case("GroupQueryAttention", inputs, attributes, outputs, apart=1e-5 if dtype == np.float32 else 2e-3, seen=seen)


def angles() -> dict[int, Any]:
    turns = RNG.standard_normal((32, SIZE // 2))
    return {7: np.cos(turns).astype(np.float32), 8: np.sin(turns).astype(np.float32)}


def grouped_cases() -> Iterator[Case]:
    for lengths, rows, past in STEPS:
        step = (lengths, rows, past)
        bias = {10: floats(1, HEADS, rows, max(lengths))}
        yield grouped(*step)
        yield grouped(*step, dtype=np.float16)
        yield grouped(*step, packed=True, more=angles(), do_rotary=1)
        yield grouped(*step, more=angles(), do_rotary=1, rotary_interleaved=1)
        yield grouped(*step, more=bias, softcap=2.0)
        yield grouped(*step, more={11: floats(HEADS)})
        yield grouped(*step, smooth_softmax=1, scale=0.4)
        yield grouped(*step, local_window_size=3)
        yield grouped(*step, causal=0)
        for kind in KINDS:
            yield grouped(*step, kind=kind)
            yield grouped(*step, kind=kind, packed=True, more=angles() | bias, do_rotary=1, local_window_size=2)
    for stage in (1, 2):
        yield grouped([7], 3, 4, qk_output=stage)


def multi_head_cases() -> Iterator[Case]:
    batch, earlier, room = 4, 3, 6
    width = HEADS * SIZE
    q, k, v = (floats(batch, 1, width) for _ in range(3))
    past, shared = ([floats(batch, HEADS, rows, SIZE) for _ in range(2)] for rows in (earlier, room))
    length, beams = np.array([earlier], np.int32), RNG.integers(0, 2, (batch // 2, 2, room)).astype(np.int32)
    mask = np.ones((batch, earlier + 1), np.int32)
    mask[1, 0] = 0
    bias, scores = floats(3 * width), floats(1, HEADS, 1, earlier + 1)
    crossed = [floats(batch, HEADS, 5, SIZE) for _ in range(2)]
    rows = slice(earlier + 1)
    seen = {i: (slice(None), slice(None), rows) for i in (1, 2)}
    heads = {"num_heads": HEADS}

    def decoder(*inputs: Any, outputs: int = 3, **attributes: Any) -> Case:
        return Case(
            "DecoderMaskedMultiHeadAttention",
            [*inputs],
            heads | attributes,
            outputs,
            seen=seen,
            types={3: np.float32} if outputs == 4 else {},
        )

    share = {"past_present_share_buffer": 1}
    yield decoder(q, k, v, None, None, *shared, length, **share)
    yield decoder(q, k, v, mask, None, *shared, length, scale=0.3, **share)
    yield decoder(q, k, v, None, scores, *shared, length, **share)
    two = np.array([2], np.int32)
    yield decoder(q, k, v, None, None, *shared, length, two, beams, **share)
    yield decoder(q, k, v, mask, scores, *shared, length, two, beams, bias, outputs=4, output_qk=1, **share)
    yield decoder(q, *crossed, outputs=1)
    yield decoder(q, *crossed, np.array([[1, 1, 1, 1, 0]] * batch, np.int32), outputs=1)
    yield decoder(q, *crossed, *[None] * 7, bias, outputs=1)
    yield Case("MultiHeadAttention", [q, k, v, bias, None, scores, *past], heads, 4, types={3: np.float32})
    yield Case("MultiHeadAttention", [q, k, v, bias, mask, scores, *past], heads | {"unidirectional": 1}, 3)
    yield Case("MultiHeadAttention", [q, k, v, None, None, None, *shared, length], heads, 3, seen=seen)
    yield Case("MultiHeadAttention", [q, k, v, None, None, None, *shared, length, beams], heads, 3, seen=seen)
    yield Case("MultiHeadAttention", [q, *crossed, bias], heads, 1)


@pytest.mark.parametrize("case", [*grouped_cases(), *multi_head_cases()], ids=lambda case: case.op)
def test_as_onnx_runtime(case: Case) -> None:
    assert_as_onnx_runtime(case)


# Windows of a cache with room for a few more, and the new positions of each step.
@pytest.mark.parametrize("kind", ["", *KINDS])
@pytest.mark.parametrize(
    ("window", "room", "steps"), [(3, 3, [3, 1, 1]), (3, 5, [2, 2, 1, 1, 1, 1]), (3, 4, [7, 1, 3, 2, 1]), (2, 6, [9, 1, 1])]
)
def test_a_cache_that_slides(window: int, room: int, steps: list[int], kind: str) -> None:
    caches: list[Any] = [None, None]
    total = 0
    for rows in steps:
        total += rows
        step = grouped([total], rows, room, kind, more=angles(), do_rotary=1, local_window_size=window, sliding_window_cache=1)
        model, feeds = model_of(step)
        results = []
        for i, ort in enumerate((ort_rs, onnxruntime)):
            session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
            feeds |= dict(zip(("i3", "i4"), caches[i] or [np.zeros_like(feeds["i3"])] * 2, strict=True))
            output, *caches[i] = session.run(None, feeds)
            left = room - window + 1
            kept = total - left * -(-max(total - room, 0) // left)
            results.append([output, *(cache[:, :, :kept] for cache in caches[i])])
        ours, theirs = results
        assert_close(ours, theirs, 1e-5)


def test_sizes_that_do_not_fit_are_refused() -> None:
    for place, value, text in [
        (5, np.array([9], np.int32), "seqlens_k"),
        (4, floats(1, KV_HEADS, 3, SIZE), "past"),
        (10, floats(1, HEADS, 1, 2), "bias"),
        (11, floats(3), "sinks"),
    ]:
        model, feeds = model_of(grouped([5], 1, 4, more={place: value}))
        with pytest.raises(ort_rs.capi.onnxruntime_pybind11_state.InvalidArgument, match=text):
            ort_rs.InferenceSession(model).run(None, feeds)
    model, feeds = model_of(grouped([5], 1, 4, kind="int8", more={12: floats(3)}))
    with pytest.raises(ort_rs.capi.onnxruntime_pybind11_state.InvalidArgument, match="scales of shape"):
        ort_rs.InferenceSession(model).run(None, feeds)


BLOCK, ROOM = 16, 64


def layouts(count: int) -> tuple[Any, Any]:
    """Random blocks of keys that blocks of queries see, their own among them: ends of rows, and columns."""
    blocks = ROOM // BLOCK
    rows, columns = np.zeros((count, blocks + 1), np.int32), []
    for layout in range(count):
        seen = np.tril(RNG.integers(0, 2, (blocks, blocks))) | np.eye(blocks, dtype=np.int64)
        columns.append(np.nonzero(seen)[1])
        rows[layout, 1:] = np.cumsum(seen.sum(axis=1))
    width = max(map(len, columns))
    return rows, np.array([np.pad(c, (0, width - len(c)), constant_values=-1) for c in columns], np.int32)


def sparse(rows: int, total: int, batch: int = 1, count: int = 2, packed: bool = False, **attributes: Any) -> Case:
    dtype = attributes.pop("dtype", np.float32)
    widths = [HEADS + 2 * KV_HEADS] if packed else [HEADS, KV_HEADS, KV_HEADS]
    inputs: list[Any] = [floats(batch, rows, width * SIZE, dtype=dtype) for width in widths]
    inputs += [None] * (3 - len(inputs))
    inputs += [floats(batch, KV_HEADS, ROOM, SIZE, dtype=dtype) for _ in range(2)]
    inputs += [*layouts(count), np.array([total], np.int32), np.full(batch, total, np.int32)]
    if "do_rotary" in attributes:
        turns = RNG.standard_normal((ROOM, SIZE // 2))
        inputs += [np.cos(turns).astype(dtype), np.sin(turns).astype(dtype)]
    attributes |= {"num_heads": HEADS, "kv_num_heads": KV_HEADS, "sparse_block_size": BLOCK}
    return Case("SparseAttention", inputs, attributes, 3)


SPARSE = [
    sparse(20, 20),
    sparse(33, 33, count=4),
    sparse(20, 20, batch=2, packed=True, do_rotary=1),
    sparse(1, 40, batch=2, do_rotary=1, rotary_interleaved=1),
    sparse(3, 50, count=1, scale=0.3),
    sparse(1, 64, dtype=np.float16),
]


# ONNX Runtime takes caches only where past and present are one.
@pytest.mark.parametrize("case", SPARSE, ids=lambda case: f"{case.inputs[0].shape[1]} of {case.inputs[7][0]}")
def test_blocks_of_keys(case: Case) -> None:
    model, feeds = model_of(case)
    results = []
    for ort in (ort_rs, onnxruntime):
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        values = {name: ort.OrtValue.ortvalue_from_numpy(value.copy()) for name, value in feeds.items()}
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("o0")
        for output, cache in (("o1", "i3"), ("o2", "i4")):
            binding.bind_ortvalue_output(output, values[cache])
        session.run_with_iobinding(binding)
        results.append([binding.get_outputs()[0].numpy().copy(), values["i3"].numpy().copy(), values["i4"].numpy().copy()])
    ours, theirs = results
    assert_close(ours, theirs, 1e-5 if ours[0].dtype == np.float32 else 2e-3)
    # What comes out is the same where past and present are two.
    apart = 1e-6 if ours[0].dtype == np.float32 else 2e-3
    assert_close(ort_rs.InferenceSession(model).run(["o0"], feeds), ours[:1], apart)
