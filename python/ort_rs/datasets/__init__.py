"""Small models that come with the package, under the names that ONNX Runtime gives its own."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def get_example(name: str) -> str:
    """Give the path of the model `name`: `logreg_iris.onnx`, `mul_1.onnx` or `sigmoid.onnx`.

    Raises `FileNotFoundError` for any other.
    """
    path = _FOLDER / name
    if path.parent != _FOLDER or not path.is_file():
        raise FileNotFoundError(f"Unable to find example '{name}'")
    return str(path)
