"""Programs that were written for ONNX Runtime, run with ort_rs in its place."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run(name: str, *arguments: str) -> list[str]:
    """Run the program `name` of this folder in a process of its own, and give the lines that it prints."""
    command = [sys.executable, "-W", "ignore", "-m", "ort_rs.as_onnxruntime", str(HERE / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.splitlines()
