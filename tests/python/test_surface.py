"""The public names of ONNX Runtime are here, with the same members, parameters, defaults and numbers."""

from surface import missing


def test_nothing_is_missing() -> None:
    assert missing("onnxruntime", "ort_rs") == []
