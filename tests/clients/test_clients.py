"""Packages that were written for ONNX Runtime run unchanged with ort_rs in its place."""

from pathlib import Path

import pytest

import program


def needs(*packages: str) -> None:
    """Skip a test unless `packages` are installed."""
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed")


def test_pipelines_of_scikit_learn() -> None:
    needs("sklearn", "skl2onnx")
    assert len(program.run("pipelines.py")) == 22


def test_tools_of_quantization(tmp_path: Path) -> None:
    needs("sympy", "tqdm")
    assert len(program.run("quantize.py", str(tmp_path))) == 12


def test_functions_of_onnxscript() -> None:
    needs("onnxscript")
    assert program.run("scripts.py") == ["eager", "model", "loop"]


def test_files_that_magika_knows() -> None:
    needs("magika")
    assert [line.split()[0] for line in program.run("files.py")] == ["python", "json", "html", "c"]


def test_words_that_rapidocr_reads() -> None:
    needs("cv2", "rapidocr_onnxruntime")
    assert len(program.run("words.py")) == 2
