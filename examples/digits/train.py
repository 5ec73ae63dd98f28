"""Trains the network of this example and writes it as an ONNX model, with images it has not seen: `python examples/digits/train.py`.

A small convolutional network learns the 8 x 8 digits of scikit-learn; forward and backward passes are written out in numpy. Beside the
model goes `images.npz`: the test images, their labels, and the probabilities that ONNX Runtime computes for them.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Array = npt.NDArray[np.float32]

HERE = Path(__file__).parent
CHANNELS = (1, 16, 32)
CLASSES = 10
EPOCHS, BATCH, RATE = 30, 64, 2e-3
WHITE = 16.0


def windows(x: Array) -> Array:
    """The 3 x 3 surroundings of each pixel, zeros beyond the edge: `(n, c, h, w)` becomes `(n, h, w, c * 9)`."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    n, c, h, w = x.shape
    return np.ascontiguousarray(views.transpose(0, 2, 3, 1, 4, 5)).reshape(n, h, w, c * 9)


def scatter(gradient: Array, channels: int) -> Array:
    """The transpose of `windows`: adds what each window says of a pixel."""
    n, h, w, _ = gradient.shape
    parts = gradient.reshape(n, h, w, channels, 3, 3)
    out = np.zeros((n, channels, h + 2, w + 2), np.float32)
    for i in range(3):
        for j in range(3):
            out[:, :, i : i + h, j : j + w] += parts[..., i, j].transpose(0, 3, 1, 2)
    return out[:, :, 1:-1, 1:-1]


def softmax(scores: Array) -> Array:
    """Probabilities over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


class Network:
    """Two convolutions with ReLU, the largest of each 2 x 2 pixels, and a linear layer."""

    def __init__(self, rng: np.random.Generator) -> None:
        def normal(*shape: int, fan_in: int) -> Array:
            return np.asarray(rng.standard_normal(shape) * np.sqrt(2 / fan_in), np.float32)

        one, two, three = CHANNELS
        flat = three * 4 * 4
        self.weights: dict[str, Array] = {
            "conv1.weight": normal(two, one, 3, 3, fan_in=one * 9),
            "conv1.bias": np.zeros(two, np.float32),
            "conv2.weight": normal(three, two, 3, 3, fan_in=two * 9),
            "conv2.bias": np.zeros(three, np.float32),
            "linear.weight": normal(CLASSES, flat, fan_in=flat),
            "linear.bias": np.zeros(CLASSES, np.float32),
        }

    def conv(self, name: str, x: Array) -> tuple[Array, Array]:
        """The convolution `name` of `x` with ReLU, channels last inside; and the windows that it saw."""
        seen = windows(x)
        kernel = self.weights[f"{name}.weight"]
        y = seen @ kernel.reshape(len(kernel), -1).T + self.weights[f"{name}.bias"]
        return np.asarray(np.maximum(y, 0).transpose(0, 3, 1, 2), np.float32), seen

    def gradients(self, images: Array, labels: npt.NDArray[np.int64]) -> tuple[float, dict[str, Array]]:
        """The mean cross-entropy, and its gradient for each weight."""
        n = len(images)
        first, seen1 = self.conv("conv1", images / np.float32(WHITE))
        second, seen2 = self.conv("conv2", first)
        quads = second.reshape(n, CHANNELS[2], 4, 2, 4, 2)
        pooled = quads.max(axis=(3, 5))
        flat = pooled.reshape(n, -1)
        probabilities = softmax(flat @ self.weights["linear.weight"].T + self.weights["linear.bias"])
        loss = -np.log(probabilities[np.arange(n), labels] + 1e-12).mean()

        scores = probabilities.copy()
        scores[np.arange(n), labels] -= 1
        scores /= n
        grads = {"linear.weight": scores.T @ flat, "linear.bias": scores.sum(axis=0)}
        back = (scores @ self.weights["linear.weight"]).reshape(n, CHANNELS[2], 4, 1, 4, 1)
        back = (back * (quads == pooled[:, :, :, None, :, None])).reshape(second.shape)
        back = self.conv_gradients("conv2", back * (second > 0), seen2, grads)
        self.conv_gradients("conv1", back * (first > 0), seen1, grads)
        return float(loss), grads

    def conv_gradients(self, name: str, back: Array, seen: Array, grads: dict[str, Array]) -> Array:
        """Adds the gradients of a convolution's weights to `grads`, and gives that of its input."""
        kernel = self.weights[f"{name}.weight"]
        last = back.transpose(0, 2, 3, 1)
        rows = last.reshape(-1, len(kernel))
        grads[f"{name}.weight"] = (rows.T @ seen.reshape(len(rows), -1)).reshape(kernel.shape)
        grads[f"{name}.bias"] = rows.sum(axis=0)
        return scatter(last @ kernel.reshape(len(kernel), -1), kernel.shape[1])


def train(network: Network, images: Array, labels: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
    """Fits `network` by Adam."""
    mean = {name: np.zeros_like(w) for name, w in network.weights.items()}
    square = {name: np.zeros_like(w) for name, w in network.weights.items()}
    step = 0
    for epoch in range(EPOCHS):
        losses = []
        for rows in np.array_split(rng.permutation(len(images)), len(images) // BATCH):
            step += 1
            loss, grads = network.gradients(images[rows], labels[rows])
            losses.append(loss)
            for name, grad in grads.items():
                mean[name] += np.float32(0.1) * (grad - mean[name])
                square[name] += np.float32(0.001) * (grad**2 - square[name])
                unbiased = np.sqrt(square[name] / (1 - 0.999**step)) + 1e-8
                network.weights[name] -= np.asarray(RATE * mean[name] / (1 - 0.9**step) / unbiased, np.float32)
        print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.4f}")


def export(network: Network) -> onnx.ModelProto:
    """The trained network as an ONNX model for any number of images."""
    nodes = [
        helper.make_node("Div", ["images", "white"], ["scaled"], "scale"),
        helper.make_node("Conv", ["scaled", "conv1.weight", "conv1.bias"], ["conv1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv1"], ["relu1"], "relu1"),
        helper.make_node("Conv", ["relu1", "conv2.weight", "conv2.bias"], ["conv2"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv2"], ["relu2"], "relu2"),
        helper.make_node("MaxPool", ["relu2"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "linear.weight", "linear.bias"], ["scores"], "linear", transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"], "softmax", axis=-1),
    ]
    constants = {"white": np.array(WHITE, np.float32), **network.weights}
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
        doc_string="Handwritten digits, 8 x 8 pixels from 0 (black) to 16 (white).",
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], producer_name="examples/digits/train.py")
    model.ir_version = 9
    helper.set_model_props(model, {"classes": " ".join(map(str, range(CLASSES)))})
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Trains, and writes `digits.onnx` and `images.npz`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to")
    out: Path = parser.parse_args().out
    digits = load_digits()
    images = digits.images.astype(np.float32)[:, None]
    seen, unseen, labels, expected = train_test_split(images, digits.target, test_size=0.2, random_state=0, stratify=digits.target)
    rng = np.random.default_rng(0)
    network = Network(rng)
    train(network, seen, labels, rng)
    model = export(network).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    probabilities = np.asarray(session.run(None, {"images": unseen})[0])
    accuracy = float((probabilities.argmax(axis=1) == expected).mean())
    print(f"accuracy on {len(unseen)} images it has not seen: {accuracy:.1%}")
    (out / "digits.onnx").write_bytes(model)
    np.savez_compressed(out / "images.npz", images=unseen, labels=expected.astype(np.int64), probabilities=probabilities)


if __name__ == "__main__":
    main()
