"""The public names of ONNX Runtime are here, with the same members, parameters, defaults and numbers."""

from pathlib import Path

from surface import missing

# What is not here yet, one a line. It only shrinks.
LIST = Path(__file__).parent / "surface_missing.txt"


def test_what_is_missing_is_listed() -> None:
    listed = LIST.read_text().splitlines()
    found = missing("onnxruntime", "ort_rs")
    new, gone = sorted(set(found) - set(listed)), sorted(set(listed) - set(found))
    assert not new, f"missing, and not listed: {new}"
    assert not gone, f"listed, but there: {gone}"
