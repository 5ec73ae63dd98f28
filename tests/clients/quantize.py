"""ONNX Runtime's own tools of quantization and optimization, which are Python and drive whatever `onnxruntime` is. Prints what agrees."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers import optimizer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3, 16, 16)).astype(np.float32)


def network() -> onnx.ModelProto:
    """Convolutions, a sum, a pool and two products."""
    weights: dict[str, Any] = {
        "w1": RNG.standard_normal((16, 3, 3, 3)) * 0.3,
        "b1": RNG.standard_normal(16) * 0.1,
        "w2": RNG.standard_normal((16, 16, 3, 3)) * 0.1,
        "w3": RNG.standard_normal((16, 64)) * 0.3,
        "w4": RNG.standard_normal((64, 10)) * 0.2,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"]),
        helper.make_node("Flatten", ["f"], ["g"]),
        helper.make_node("MatMul", ["g", "w3"], ["h"]),
        helper.make_node("Sigmoid", ["h"], ["i"]),
        helper.make_node("MatMul", ["i", "w4"], ["y"]),
    ]
    initializers = [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()]
    ports = [helper.make_tensor_value_info("x", 1, ["n", 3, 16, 16])], [helper.make_tensor_value_info("y", 1, ["n", 10])]
    graph = helper.make_graph(nodes, "g", *ports, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Reader(CalibrationDataReader):  # type: ignore[misc]  # The tools are not typed.
    """Feeds to calibrate with."""

    def __init__(self) -> None:
        self.feeds: Iterator[dict[str, Any]] = iter([{"x": X}])

    def get_next(self) -> dict[str, Any] | None:
        """Give the next one."""
        return next(self.feeds, None)


def run(path: Path) -> Any:
    """What a model answers."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": X})[0]


def check(name: str, path: Path, wanted: Any, apart: float) -> None:
    """Check that a model answers nearly as the one it was made of."""
    error = np.linalg.norm(run(path) - wanted) / np.linalg.norm(wanted)
    assert error < apart, f"{name}: {error}"
    print(name, flush=True)


def main(folder: Path) -> None:
    """Quantize a network in each way."""
    plain = folder / "plain.onnx"
    onnx.save(network(), plain)
    wanted = run(plain)
    prepared = folder / "prepared.onnx"
    quant_pre_process(str(plain), str(prepared))
    check("prepared", prepared, wanted, 1e-5)
    for kind in (QuantFormat.QDQ, QuantFormat.QOperator):
        for weights in (QuantType.QInt8, QuantType.QUInt8):
            made = folder / f"{kind}-{weights}.onnx"
            channels = weights == QuantType.QInt8
            types = {"activation_type": QuantType.QUInt8, "weight_type": weights}
            quantize_static(str(prepared), str(made), Reader(), quant_format=kind, per_channel=channels, **types)
            check(f"static {kind.name} {weights.name}", made, wanted, 0.1)
    made = folder / "dynamic.onnx"
    quantize_dynamic(str(prepared), str(made), weight_type=QuantType.QInt8, per_channel=True)
    check("dynamic", made, wanted, 0.1)
    for bits in (4, 8):
        for symmetric in (True, False):
            config = DefaultWeightOnlyQuantConfig(block_size=16, is_symmetric=symmetric, bits=bits)
            tool = MatMulNBitsQuantizer(onnx.load(plain), algo_config=config)
            tool.process()
            made = folder / f"{bits}-{symmetric}.onnx"
            tool.model.save_model_to_file(str(made))
            check(f"{bits} bits {symmetric}", made, run(plain), 0.3)
    tool = MatMulBnb4Quantizer(onnx.load(plain), 1, 16)
    tool.process()
    made = folder / "bnb4.onnx"
    tool.model.save_model_to_file(str(made))
    check("bnb4", made, run(plain), 0.3)
    optimized = optimizer.optimize_model(str(plain), opt_level=0)
    made = folder / "optimized.onnx"
    optimized.save_model_to_file(str(made))
    check("optimized", made, run(plain), 1e-5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
