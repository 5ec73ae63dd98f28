"""Functions of onnxscript, evaluated by its own evaluator, which runs models on `onnxruntime`. Prints what agrees with numpy."""

import numpy as np
import onnxruntime
from onnxscript import FLOAT, evaluator, script
from onnxscript import opset18 as op


@script()
def normalized(x: FLOAT["n", "m"]) -> FLOAT["n", "m"]:  # noqa: F821  # Names of axes.
    """Rows of a mean of 0 and a variance of 1."""
    mean = op.ReduceMean(x, [1], keepdims=1)
    centered = x - mean
    return centered / op.Sqrt(op.ReduceMean(centered * centered, [1], keepdims=1))


@script()
def halved(x: FLOAT["n"], times: FLOAT[...]) -> FLOAT["n"]:  # noqa: F821
    """The elements halved until their sum is small."""
    large = op.ReduceSum(x, keepdims=0) > times
    while large:
        x = x * 0.5
        large = op.ReduceSum(x, keepdims=0) > times
    return x


def main() -> None:
    """Evaluate each as it stands, then as a model."""
    assert evaluator.default() is not None
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    centered = x - x.mean(1, keepdims=True)
    wanted = centered / np.sqrt((centered**2).mean(1, keepdims=True))
    np.testing.assert_allclose(normalized(x), wanted, rtol=1e-5, atol=1e-6)
    print("eager")
    session = onnxruntime.InferenceSession(normalized.to_model_proto().SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-5, atol=1e-6)
    print("model")
    model = halved.to_model_proto().SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.full(4, 8, np.float32), "times": np.array(5, np.float32)})
    np.testing.assert_array_equal(y, np.full(4, 1, np.float32))
    print("loop")


if __name__ == "__main__":
    main()
