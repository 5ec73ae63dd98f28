"""The example that `make demo` runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DIGITS = Path(__file__).parents[2] / "examples/digits"


def demo(data: Path, plot: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(DIGITS / "demo.py"), "--data", str(data), "--plot", str(plot)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_it_classifies_prints_plots_and_checks(kind: str, tmp_path: Path) -> None:
    plot = tmp_path / f"digits.{kind}"
    done = demo(DIGITS, plot)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "98.6% of them right" in done.stdout
    assert "as it should be" in done.stdout
    assert "@@" in done.stdout
    assert plot.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml"}[kind])


@pytest.mark.parametrize("spoil", [lambda p: p + np.float32(1e-3), lambda p: p[:-1]], ids=["values", "number"])
def test_it_notices_when_outputs_differ(spoil: object, tmp_path: Path) -> None:
    shutil.copy(DIGITS / "digits.onnx", tmp_path)
    with np.load(DIGITS / "images.npz") as stored:
        assert callable(spoil)
        arrays = {**stored, "probabilities": spoil(stored["probabilities"])}
    np.savez(tmp_path / "images.npz", **arrays)
    done = demo(tmp_path, tmp_path / "digits.png")
    assert done.returncode == 1
    assert "too much" in done.stdout


def test_the_model_is_small() -> None:
    assert (DIGITS / "digits.onnx").stat().st_size < 200_000
