"""Classifies handwritten digits with ort_rs, shows what it saw, and checks itself: `python examples/digits/demo.py`.

The network and its test images come from `train.py`; the probabilities beside the images are those that ONNX Runtime computed. The exit
status is 1 when ort_rs does not agree with them.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

import ort_rs as ort

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

HERE = Path(__file__).parent
SHADES = " .:-=+*#%@"
WHITE = 16
TOLERANCE = 1e-5


def drawn(image: Floats) -> list[str]:
    """The image as text, two characters a pixel."""
    shades = (image / WHITE * (len(SHADES) - 1)).round().astype(int)
    return ["".join(SHADES[shade] * 2 for shade in row) for row in shades]


def show(images: Floats, probabilities: Floats) -> None:
    """Prints images side by side, with the class and the probability of each."""
    rows = zip(*(drawn(image) for image in images), strict=True)
    print("\n".join("   ".join(row) for row in rows))
    captions = (f"{p.argmax()} ({p.max():.1%})" for p in probabilities)
    print("   ".join(f"{caption:^16}" for caption in captions), end="\n\n")


def plot(path: Path, images: Floats, labels: Ints, probabilities: Floats) -> None:
    """Draws which digits are taken for which, and the images that were hardest to tell."""
    classes = probabilities.shape[1]
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2)).flat
    axes = left.subplots()
    axes.imshow(counts, cmap="Blues")
    for (label, predicted), count in np.ndenumerate(counts):
        if count:
            axes.text(predicted, label, str(count), ha="center", va="center", color="white" if count > counts.max() / 2 else "black")
    axes.set(title="which digit is taken for which", xlabel="predicted", ylabel="is", xticks=range(classes), yticks=range(classes))
    hardest = probabilities.max(axis=1).argsort()[:12]
    for axis, i in zip(right.subplots(3, 4).flat, hardest, strict=True):
        axis.imshow(images[i], cmap="gray")
        right_one = probabilities[i].argmax() == labels[i]
        axis.set_title(f"{probabilities[i].argmax()}, {probabilities[i].max():.0%}", color="black" if right_one else "red", fontsize=9)
        axis.axis("off")
    right.suptitle("the hardest to tell (red: wrong)")
    figure.savefig(path)


def main() -> int:
    """Classifies the images, prints, plots and checks what comes out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE, help="the folder of digits.onnx and images.npz")
    parser.add_argument("--plot", type=Path, default=Path("digits.png"), help="where the plot goes: a .png or .svg file")
    arguments = parser.parse_args()

    with np.load(arguments.data / "images.npz") as stored:
        images, labels, expected = stored["images"], stored["labels"], stored["probabilities"]
    session = ort.InferenceSession(arguments.data / "digits.onnx")
    start = time.perf_counter()
    (probabilities,) = session.run(["probabilities"], {"images": images})
    spent = time.perf_counter() - start

    show(images[:5, 0], probabilities[:5])
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    print(f"{len(images)} images in {1e3 * spent:.1f} ms, {accuracy:.1%} of them right")
    plot(arguments.plot, images[:, 0], labels, probabilities)
    print(f"plotted in {arguments.plot}")

    difference = float(np.abs(probabilities - expected).max()) if probabilities.shape == expected.shape else float("inf")
    agrees = difference <= TOLERANCE
    print(f"largest difference from what is stored beside the images: {difference:.1e}, {'as it should be' if agrees else 'too much'}")
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
