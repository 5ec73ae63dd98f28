"""Models of the ONNX backend suite, changed at random but the same for the same seed, and values to feed them."""

import random
import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx.backend.test.loader import load_model_tests

#: Integers that attributes and sizes do not expect.
ODD = [0, 1, -1, 2, 7, 64, 2**31, 2**31 - 1, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63)]


def models(count: int, seed: int, originals: list[bytes]) -> Iterator[bytes]:
    """As many models, changed from `originals`."""
    draw = random.Random(seed)
    for _ in range(count):
        original = draw.choice(originals)
        match draw.randrange(10):
            case 0 | 1 | 2:
                yield scrambled(draw, original)
            case 3 | 4 | 5:
                yield rewired(draw, original)
            case _:
                yield rebuilt(draw, original)


def suite() -> list[bytes]:
    """The models of the suite that are about one operator, but for large ones."""
    with warnings.catch_warnings(action="ignore"):
        cases = sorted(load_model_tests(kind="node"), key=lambda case: case.name)
    encoded = [case.model.SerializeToString() for case in cases if case.model is not None]
    return [model for model in encoded if len(model) < 20_000]


def scrambled(draw: random.Random, original: bytes) -> bytes:
    """The model with some bytes changed, lost, made up or repeated."""
    body = bytearray(original)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(body))
        match draw.randrange(4):
            case 0:
                body[at] = draw.randrange(256)
            case 1:
                del body[at : at + draw.randint(1, 8)]
            case 2:
                body[at:at] = draw.randbytes(draw.randint(1, 8))
            case 3:
                body[at:at] = body[: draw.randrange(len(body))]
        if not body:
            break
    return bytes(body)


def rewired(draw: random.Random, original: bytes) -> bytes:
    """The model with other attributes, inputs, outputs, types, sizes or opsets: what readers accept and graphs must refuse."""
    model = onnx.ModelProto.FromString(original)
    graph = model.graph
    names = ["", *(i.name for i in graph.input), *(o for n in graph.node for o in n.output)]
    for _ in range(draw.randint(1, 3)):
        node = draw.choice(graph.node)
        match draw.randrange(7):
            case 0 if node.attribute:
                change_attribute(draw, draw.choice(node.attribute))
            case 1 if node.input:
                node.input[draw.randrange(len(node.input))] = draw.choice(names)
            case 2 if node.output:
                node.output[draw.randrange(len(node.output))] = draw.choice(names)
            case 3 if graph.input:
                sizes = draw.choice(graph.input).type.tensor_type.shape.dim
                if sizes:
                    draw.choice(sizes).dim_value = draw.choice([0, 1, 3, 17, 2**40])
            case 4 if graph.input:
                draw.choice(graph.input).type.tensor_type.elem_type = draw.randrange(1, 27)
            case 5:
                model.opset_import[0].version = draw.randrange(1, 29)
            case 6:
                graph.node.append(node)
    encoded: bytes = model.SerializeToString()
    return encoded


def rebuilt(draw: random.Random, original: bytes) -> bytes:
    """The model with nodes that went or are of another operator, and constants, ports and functions that are not what they were."""
    model = onnx.ModelProto.FromString(original)
    for _ in range(draw.randint(1, 3)):
        graph = draw.choice(list(graphs(model.graph)))
        if graph.node:
            node = draw.choice(graph.node)
            rebuild(draw, model, graph, node)
    encoded: bytes = model.SerializeToString()
    return encoded


def rebuild(draw: random.Random, model: onnx.ModelProto, graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Changes one thing around `node`, a node of `graph`."""
    match draw.randrange(12):
        case 0:
            graph.node.remove(node)
        case 1:
            other = draw.choice(graph.node)
            node.op_type, node.domain = other.op_type, other.domain
        case 2 if node.attribute:
            node.attribute.remove(draw.choice(node.attribute))
        case 3 if (other := draw.choice(graph.node)).attribute:
            node.attribute.append(draw.choice(other.attribute))
        case 4 if graph.initializer:
            change_tensor(draw, draw.choice(graph.initializer))
        case 5 if graph.initializer:
            graph.initializer.append(draw.choice(graph.initializer))
        case 6 if graph.output:
            draw.choice(graph.output).name = draw.choice(list(node.output) or [""])
        case 7:
            node.input.append(draw.choice(list(node.input) + list(node.output) or [""]))
        case 8 if node.output:
            del node.output[draw.randrange(len(node.output)) :]
        case 9:
            ports = [*graph.input, *graph.output, *graph.value_info]
            if ports:
                port = draw.choice(ports)
                port.type.CopyFrom(draw.choice(ports).type)
        case 10:
            call_itself(model, node)
        case 11:
            tensors = [a.t for n in graph.node for a in n.attribute if a.type == onnx.AttributeProto.TENSOR]
            if tensors:
                change_tensor(draw, draw.choice(tensors))


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def change_tensor(draw: random.Random, tensor: onnx.TensorProto) -> None:
    """Makes a constant be of another type or shape, or not the same elements."""
    match draw.randrange(4):
        case 0:
            tensor.data_type = draw.randrange(28)
        case 1 if tensor.dims:
            tensor.dims[draw.randrange(len(tensor.dims))] = draw.choice(ODD)
        case 2:
            tensor.dims.append(draw.choice([0, 1]))
        case 3 if tensor.raw_data:
            count = len(tensor.raw_data)
            tensor.raw_data = draw.randbytes(count) if count < 1 << 16 else b"\xff" * count


def call_itself(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Makes the node a call of a function that consists of it, and so of that call."""
    node.domain, node.op_type = "again", "Again"
    function = model.functions.add(domain="again", name="Again", input=node.input, output=node.output)
    function.node.append(node)
    function.opset_import.extend(model.opset_import)
    if all(opset.domain != "again" for opset in model.opset_import):
        model.opset_import.add(domain="again", version=1)


def change_attribute(draw: random.Random, attribute: onnx.AttributeProto) -> None:
    """Makes the attribute say something that its operator may not expect."""
    match attribute.type:
        case onnx.AttributeProto.INT:
            attribute.i = draw.choice(ODD)
        case onnx.AttributeProto.FLOAT:
            attribute.f = draw.choice([0.0, -1.0, 1e30, float("nan"), float("inf")])
        case onnx.AttributeProto.INTS:
            attribute.ints.append(draw.choice(ODD))
            del attribute.ints[draw.randrange(len(attribute.ints))]
        case onnx.AttributeProto.STRING:
            attribute.s = draw.choice([b"", b"linear", b"\xff"])


def feed(draw: random.Random, ty: str, shape: list[int | str | None]) -> npt.NDArray[np.generic] | None:
    """A value for an input of the type `ty`; `None` for those that are not worth one."""
    sizes = [s if isinstance(s, int) else draw.choice([0, 1, 2, 3, 5]) for s in shape]
    dtype = DTYPES.get(ty.removeprefix("tensor(").removesuffix(")"))
    if dtype is None or np.prod([float(s) for s in sizes]) > 1 << 14:
        return None
    count = int(np.prod(sizes))
    if np.issubdtype(dtype, np.floating):
        return np.array(draw.choices([0.0, 1.0, -1.0, 2.5, 1e30, np.nan, np.inf], k=count)).astype(dtype).reshape(sizes)
    return np.array(draw.choices([0, 1, 2, 3], k=count)).astype(dtype).reshape(sizes)


DTYPES: dict[str, np.dtype[np.generic]] = {
    **{name: np.dtype(name) for name in ("float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")},
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
