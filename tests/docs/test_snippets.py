"""What the documentation shows works.

A block of `python` or `sh` runs in a folder of its own, with a small `model.onnx` and the repository's `examples`. Blocks of `rust` are
tests of documentation of the crate, which names the pages that have some. `<!-- not run: why -->` before a block leaves it out.
"""

import os
import subprocess
import sys
from pathlib import Path

import onnx.parser
import pytest

from blocks import ROOT, Block, all_blocks

MODEL = """<ir_version: 9, opset_import: ["" : 20]>
g (float[batch,4] x) => (float[batch,2] y) <float[4,2] w = {1, 2, 3, 4, 5, 6, 7, 8}> { hidden = MatMul(x, w) y = Relu(hidden) }"""
LANGUAGES = {"python", "sh", "rust", "text"}
BLOCKS = all_blocks()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(onnx.parser.parse_model(MODEL).SerializeToString())
    for name in ("examples", "benches", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def runs(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python" and not b.reason], ids=str)
def test_python(block: Block, folder: Path) -> None:
    (folder / "snippet.py").write_text(block.code)
    runs([sys.executable, "-W", "error", "snippet.py"], folder)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "sh" and not b.reason], ids=str)
def test_shell(block: Block, folder: Path) -> None:
    runs(["bash", "-euo", "pipefail", "-c", block.code], folder)


def test_rust_is_run_by_the_crate() -> None:
    crate = (ROOT / "rust/ort-rs/src/lib.rs").read_text()
    for page in {block.page for block in BLOCKS if block.language == "rust"}:
        assert f'include_str!("../../../{page}")' in crate, f"the crate does not test the snippets of {page}"


def test_every_block_is_of_a_known_kind() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES
    assert {"python", "sh", "rust"} <= {block.language for block in BLOCKS if not block.reason}
