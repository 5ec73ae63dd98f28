"""RapidOCR, which reads text in pictures by three networks that its package carries. Prints what it reads."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr_onnxruntime import RapidOCR

LINES = ["Hello ONNX 2026", "reading by networks"]


def picture() -> np.ndarray:
    """Black text on white."""
    image = Image.new("RGB", (520, 190), "white")
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(LINES):
        draw.text((30, 30 + 75 * i), line, fill="black", font=ImageFont.load_default(42))
    return np.asarray(image)


def main() -> None:
    """Read the picture."""
    found, _ = RapidOCR()(picture())
    read = [text for _, text, _ in found]
    assert [text.replace(" ", "") for text in read] == [line.replace(" ", "") for line in LINES], read
    print("\n".join(read))


if __name__ == "__main__":
    main()
