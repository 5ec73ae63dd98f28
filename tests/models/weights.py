"""Gives weights to networks that have none of their own."""

import math
import zlib
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


def draw_weights(model: onnx.ModelProto) -> None:
    """Put drawn constants in the place of the nodes that fill a shape with one number.

    With one number everywhere each class gets the same score, whatever a convolution does. The same name always gets the same values.
    """
    graph = model.graph
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    fills = [node for node in graph.node if node.op_type == "ConstantOfShape" and node.input[0] in shapes]
    for node in fills:
        name = node.output[0]
        graph.initializer.append(numpy_helper.from_array(_drawn(name, shapes[node.input[0]].tolist()), name))
        graph.node.remove(node)


def _drawn(name: str, shape: list[int]) -> np.ndarray[Any, Any]:
    """Weights that keep the size of what goes through them; scales, biases, means and variances that are near one."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) < 2:
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    # Without a bias of their own, weights would cancel in deep networks only on average.
    return random.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / math.prod(shape[1:])))
