"""The race on a CUDA device: that it says so where there is none, and on a driver without a device that it races all there is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RACE = ROOT / "benches" / "race_cuda.py"


def race(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(RACE), "--small", "--rounds", "2", "--seconds", "0", *arguments]
    return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)


def test_without_a_device_it_says_so() -> None:
    done = race(LD_LIBRARY_PATH="")
    if done.returncode == 0:
        pytest.skip("there is a CUDA device")
    assert done.returncode == 1
    assert done.stdout.startswith("There is no race: ")
    assert not done.stderr


def test_every_work_is_raced() -> None:
    if not shutil.which("make") or not shutil.which("g++"):
        pytest.skip("there is no make or no g++")
    out = ROOT / "target" / "cuda_shim"
    subprocess.run(["make", "-s", "-j2", "driver", f"OUT={out}"], cwd=ROOT / "kernels_cuda" / "shim", check=True)
    done = race(LD_LIBRARY_PATH=str(out / "driver"))
    if "without CUDA kernels" in done.stdout:
        pytest.skip("the package was built without CUDA kernels")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if " | ort_rs | " in line]
    assert len(rows) == 20
    for row in rows:
        assert float(row[-1].rstrip(" |")) < (5e-2 if " f16" in row[0] else 1e-5), row
    assert "gemm 40 f32" in race("gemm", LD_LIBRARY_PATH=str(out / "driver")).stdout
