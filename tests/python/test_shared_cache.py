"""A cache that a model reads as past and writes as present: one buffer bound to both."""

from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper

import ort_rs

HEADS, KV_HEADS, WIDTH, CAPACITY = 4, 2, 16, 32


def decoder() -> bytes:
    """A step of grouped attention."""
    inputs: dict[str, list[Any]] = {
        "query": ["n", "s", HEADS * WIDTH],
        "key": ["n", "s", KV_HEADS * WIDTH],
        "value": ["n", "s", KV_HEADS * WIDTH],
        "past_key": ["n", KV_HEADS, "past", WIDTH],
        "past_value": ["n", KV_HEADS, "past", WIDTH],
    }
    outputs = {"output": inputs["query"]} | {f"present_{x}": ["n", KV_HEADS, "present", WIDTH] for x in ("key", "value")}
    ports = [helper.make_tensor_value_info(name, 1, shape) for name, shape in inputs.items()]
    ports += [helper.make_tensor_value_info("seqlens_k", 6, ["n"]), helper.make_tensor_value_info("total", 6, [1])]
    names = [port.name for port in ports]
    node = helper.make_node("GroupQueryAttention", names, [*outputs], domain="com.microsoft", num_heads=HEADS, kv_num_heads=KV_HEADS)
    graph = helper.make_graph([node], "g", ports, [helper.make_tensor_value_info(name, 1, shape) for name, shape in outputs.items()])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    encoded: bytes = helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()
    return encoded


def decoded(ort: ModuleType) -> list[Any]:
    """The outputs of a prompt and of some tokens, and the caches at the end."""
    rng = np.random.default_rng(0)
    session = ort.InferenceSession(decoder(), providers=["CPUExecutionProvider"])
    caches = [ort.OrtValue.ortvalue_from_numpy(np.zeros((1, KV_HEADS, CAPACITY, WIDTH), np.float32)) for _ in range(2)]
    addresses = [cache.data_ptr() for cache in caches]
    results, total = [], 0
    for count in (5, 1, 1, 1):
        total += count
        binding = session.io_binding()
        for name, heads in (("query", HEADS), ("key", KV_HEADS), ("value", KV_HEADS)):
            binding.bind_cpu_input(name, rng.standard_normal((1, count, heads * WIDTH)).astype(np.float32))
        binding.bind_cpu_input("seqlens_k", np.array([total - 1], np.int32))
        binding.bind_cpu_input("total", np.array([total], np.int32))
        for name, cache in zip(("key", "value"), caches, strict=True):
            binding.bind_ortvalue_input(f"past_{name}", cache)
            binding.bind_ortvalue_output(f"present_{name}", cache)
        binding.bind_output("output")
        session.run_with_iobinding(binding)
        results.append(binding.get_outputs()[2].numpy().copy())
    assert [cache.data_ptr() for cache in caches] == addresses
    return results + [cache.numpy().copy() for cache in caches]


def test_past_and_present_in_one_buffer() -> None:
    for ours, theirs in zip(decoded(ort_rs), decoded(onnxruntime), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
