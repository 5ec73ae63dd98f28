"""The command line, as the wheel installs it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest

from models import ADD, model

SCRIPT = Path(sys.executable).with_name("ort-rs")
DIGITS = Path(__file__).parents[2] / "examples/digits"


def cli(*arguments: object, command: tuple[str, ...] = (str(SCRIPT),)) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


def said(*arguments: object) -> str:
    done = cli(*arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", [(str(SCRIPT),), (sys.executable, "-m", "ort_rs")], ids=["script", "module"])
def test_both_ways_to_start(command: tuple[str, ...]) -> None:
    done = cli("--version", command=command)
    assert done.returncode == 0
    assert done.stdout.startswith("ort-rs 0.")
    assert cli("fly", command=command).returncode == 2


def test_inspect() -> None:
    text = said("inspect", DIGITS / "digits.onnx")
    assert "images: tensor(float)[batch,1,8,8]" in text
    assert "Conv" in text
    done = cli("inspect", "no such file.onnx")
    assert done.returncode == 1
    assert done.stderr.startswith("ort-rs: NO_SUCHFILE: ")


@pytest.mark.parametrize("kind", ["npy", "npz", "pb"])
def test_run_agrees_with_onnx_runtime(kind: str, tmp_path: Path) -> None:
    (tmp_path / "add.onnx").write_bytes(ADD)
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.full((2, 3), 0.5, np.float32))
    if kind == "npz":
        np.savez_compressed(tmp_path / "in.npz", x=x, y=y)
        inputs: list[object] = ["--input", tmp_path / "in.npz"]
    else:
        inputs = []
        for name, value in (("x", x), ("y", y)):
            path = tmp_path / f"{name}.{kind}"
            if kind == "npy":
                np.save(path, value)
            else:
                path.write_bytes(onnx.numpy_helper.from_array(value).SerializeToString())
            inputs += ["--input", f"{name}={path}"]
    text = said("run", tmp_path / "add.onnx", *inputs, "--save", tmp_path)
    (expected,) = onnxruntime.InferenceSession(ADD).run(None, {"x": x, "y": y})
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), expected)
    assert "z: tensor(float)[2,3], min 0.500000, mean 3.000000, max 5.500000, NaN 0" in text


@pytest.mark.parametrize("dtype", ["float16", "double", "int8", "uint64", "bool", "complex64", "string"])
def test_what_is_saved_is_what_numpy_reads(dtype: str, tmp_path: Path) -> None:
    (tmp_path / "same.onnx").write_bytes(model(f"g ({dtype}[n] x) => ({dtype}[n] y) {{ y = Identity(x) }}"))
    kinds = {"double": "float64", "string": "U"}
    x = np.array(["", "a", "wörter"] if dtype == "string" else [0, 1, 1]).astype(kinds.get(dtype, dtype))
    np.save(tmp_path / "x.npy", x)
    said("run", tmp_path / "same.onnx", "--input", tmp_path / "x.npy", "--save", tmp_path)
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


def test_bench() -> None:
    text = said("bench", DIGITS / "digits.onnx", "--runs", 5, "--warmup", 1)
    assert "p50" in text
    assert "Softmax" in text


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    command = f"'{SCRIPT}' operators | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "# Operators\n", "")


def test_an_interrupt_ends_it(tmp_path: Path) -> None:
    body = """g (float[4] x) => (float[4] y) {
        n = Constant <value = int64 {9223372036854775807}> ()
        t = Constant <value = bool {1}> ()
        y = Loop <body = b (int64 i, bool c, float[4] v) => (bool d, float[4] w) { d = Identity(c) w = Neg(v) }> (n, t, x)
    }"""
    (tmp_path / "endless.onnx").write_bytes(model(body))
    process = subprocess.Popen([SCRIPT, "run", tmp_path / "endless.onnx"], env={**os.environ})
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    process.send_signal(2)
    assert process.wait(timeout=30) == -2


def test_profile_writes_a_page(tmp_path: Path) -> None:
    text = said("profile", DIGITS / "digits.onnx", "--runs", 2, "--page", tmp_path / "page.html")
    assert "saved as" in text
    assert "Softmax-13" in (tmp_path / "page.html").read_text()
    failed = cli("profile", DIGITS / "digits.onnx", "--page", tmp_path / "no such folder" / "page.html")
    assert failed.returncode == 1
    assert "cannot write" in failed.stderr
