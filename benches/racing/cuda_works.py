"""What is raced on a CUDA device: small models, what goes in, and what a run moves and computes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

DTYPES = {"f32": (np.float32, TensorProto.FLOAT), "f16": (np.float16, TensorProto.FLOAT16)}


@dataclass(frozen=True)
class Work:
    """A model with its input `x`, weights, and the same in the words of PyTorch: `torch(module, x, weights)`."""

    name: str
    model: bytes
    x: Array
    weights: Arrays
    torch: Callable[..., Any]
    # Floating point operations of a run, for what is bound by them; else the bytes that it reads and writes.
    operations: float = 0
    moved: float = 0


Node = tuple[str, Sequence[str], Sequence[str], dict[str, Any]]


def _model(nodes: Sequence[Node], x: Array, weights: Arrays, kind: int) -> bytes:
    made = [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes]
    ends = [helper.make_tensor_value_info("x", kind, x.shape)], [helper.make_tensor_value_info("y", kind, None)]
    graph = helper.make_graph(made, "work", *ends, [numpy_helper.from_array(a, name) for name, a in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    serialized: bytes = model.SerializeToString()
    return serialized


def _numbers(shape: Sequence[int], dtype: Any, scale: float = 1.0) -> Array:
    return (np.random.default_rng(len(shape)).standard_normal(shape) * scale).astype(dtype)


def gemm(name: str, size: int) -> Work:
    """One product of square matrices."""
    dtype, kind = DTYPES[name]
    x, w = _numbers((size, size), dtype), _numbers((size, size), dtype, size**-0.5)
    model = _model([("MatMul", ["x", "w"], ["y"], {})], x, {"w": w}, kind)
    return Work(f"gemm {size} {name}", model, x, {"w": w}, lambda torch, x, w: torch.matmul(x, w["w"]), operations=2 * size**3)


def mlp(name: str, rows: int, width: int) -> Work:
    """Two layers with a Relu between them, the inner one four times as wide."""
    dtype, kind = DTYPES[name]
    weights = {
        "w": _numbers((width, 4 * width), dtype, width**-0.5),
        "b": _numbers((4 * width,), dtype),
        "v": _numbers((4 * width, width), dtype, (4 * width) ** -0.5),
        "c": _numbers((width,), dtype),
    }
    x = _numbers((rows, width), dtype)
    nodes: list[Node] = [
        ("Gemm", ["x", "w", "b"], ["h"], {}),
        ("Relu", ["h"], ["r"], {}),
        ("Gemm", ["r", "v", "c"], ["y"], {}),
    ]

    def torch_mlp(torch: Any, x: Any, w: Any) -> Any:
        return torch.addmm(w["c"], torch.relu(torch.addmm(w["b"], x, w["w"])), w["v"])

    return Work(f"mlp {rows}x{width} {name}", _model(nodes, x, weights, kind), x, weights, torch_mlp, operations=16 * rows * width**2)


def bert(name: str, batch: int, length: int, hidden: int, heads: int) -> Work:
    """One layer of an encoder, as exporters write it."""
    dtype, kind = DTYPES[name]
    near = hidden**-0.5
    weights = {f"w{p}": _numbers((hidden, hidden), dtype, near) for p in "qkvo"}
    weights |= {f"b{p}": _numbers((hidden,), dtype, 0.1) for p in "qkvo"}
    weights |= {"w1": _numbers((hidden, 4 * hidden), dtype, near), "w2": _numbers((4 * hidden, hidden), dtype, near / 2)}
    weights |= {"b1": _numbers((4 * hidden,), dtype, 0.1), "b2": _numbers((hidden,), dtype, 0.1)}
    weights |= {"g": np.ones(hidden, dtype), "z": np.zeros(hidden, dtype)}
    constants = {
        "split": np.array([batch, length, heads, hidden // heads]),
        "join": np.array([batch, length, hidden]),
        "scale": np.array((hidden // heads) ** 0.5, dtype),
    }
    nodes: list[Node] = []
    for p, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes += [("MatMul", ["x", f"w{p}"], [f"{p}0"], {}), ("Add", [f"{p}0", f"b{p}"], [f"{p}1"], {})]
        nodes += [("Reshape", [f"{p}1", "split"], [f"{p}2"], {}), ("Transpose", [f"{p}2"], [f"{p}3"], {"perm": perm})]
    nodes += [
        ("MatMul", ["q3", "k3"], ["s0"], {}),
        ("Div", ["s0", "scale"], ["s1"], {}),
        ("Softmax", ["s1"], ["p"], {"axis": -1}),
        ("MatMul", ["p", "v3"], ["c0"], {}),
        ("Transpose", ["c0"], ["c1"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["c1", "join"], ["c2"], {}),
        ("MatMul", ["c2", "wo"], ["o0"], {}),
        ("Add", ["o0", "bo"], ["o1"], {}),
        ("Add", ["o1", "x"], ["r1"], {}),
        ("LayerNormalization", ["r1", "g", "z"], ["n1"], {}),
        ("MatMul", ["n1", "w1"], ["f0"], {}),
        ("Add", ["f0", "b1"], ["f1"], {}),
        ("Gelu", ["f1"], ["f2"], {}),
        ("MatMul", ["f2", "w2"], ["f3"], {}),
        ("Add", ["f3", "b2"], ["f4"], {}),
        ("Add", ["f4", "n1"], ["r2"], {}),
        ("LayerNormalization", ["r2", "g", "z"], ["y"], {}),
    ]

    def torch_bert(torch: Any, x: Any, w: Any) -> Any:
        functional = torch.nn.functional
        parts = [(x @ w[f"w{p}"] + w[f"b{p}"]).view(batch, length, heads, -1).transpose(1, 2) for p in "qkv"]
        context = functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(batch, length, hidden)
        first = functional.layer_norm(context @ w["wo"] + w["bo"] + x, (hidden,), w["g"], w["z"])
        inner = functional.gelu(first @ w["w1"] + w["b1"])
        return functional.layer_norm(inner @ w["w2"] + w["b2"] + first, (hidden,), w["g"], w["z"])

    x = _numbers((batch, length, hidden), dtype)
    operations = 2 * batch * length * (12 * hidden**2 + 2 * length * hidden)
    title = f"bert layer {batch}x{length}x{hidden} {name}"
    return Work(title, _model(nodes, x, weights | constants, kind), x, weights, torch_bert, operations=operations)


def memory_bound(name: str, rows: int, width: int) -> list[Work]:
    """Operators whose limit is the memory of the device."""
    dtype, kind = DTYPES[name]
    x = _numbers((rows, width), dtype)
    scale = {"g": np.ones(width, dtype), "z": np.zeros(width, dtype)}
    last = {"axes": np.array([-1])}
    cases: list[tuple[str, Node, Arrays, Callable[..., Any]]] = [
        ("Add", ("Add", ["x", "x"], ["y"], {}), {}, lambda _, x, __: x + x),
        ("Gelu", ("Gelu", ["x"], ["y"], {}), {}, lambda torch, x, _: torch.nn.functional.gelu(x)),
        ("Softmax", ("Softmax", ["x"], ["y"], {"axis": -1}), {}, lambda torch, x, _: torch.softmax(x, -1)),
        (
            "LayerNormalization",
            ("LayerNormalization", ["x", "g", "z"], ["y"], {}),
            scale,
            lambda torch, x, w: torch.nn.functional.layer_norm(x, (width,), w["g"], w["z"]),
        ),
        ("Add of a row", ("Add", ["x", "g"], ["y"], {}), {"g": scale["g"]}, lambda _, x, w: x + w["g"]),
        ("ReduceMean", ("ReduceMean", ["x", "axes"], ["y"], {}), last, lambda _, x, __: x.mean(-1, keepdim=True)),
        ("Transpose", ("Transpose", ["x"], ["y"], {"perm": [1, 0]}), {}, lambda _, x, __: x.t().contiguous()),
    ]
    written = {"ReduceMean": rows * x.itemsize}
    return [
        Work(
            f"{title} {rows}x{width} {name}",
            _model([node], x, weights, kind),
            x,
            weights,
            torch,
            moved=x.nbytes + written.get(title, x.nbytes),
        )
        for title, node, weights, torch in cases
    ]


def works(small: bool) -> list[Work]:
    """All of them; `small` ones show that the race works, not how fast anything is."""
    found = []
    for name in DTYPES:
        found.append(gemm(name, 40 if small else 4096))
        found.append(mlp(name, 4, 16) if small else mlp(name, 512, 1024))
        found.append(bert(name, 1, 5, 16, 2) if small else bert(name, 8, 128, 768, 12))
        found += memory_bound(name, 8, 20) if small else memory_bound(name, 16384, 2048)
    return found
