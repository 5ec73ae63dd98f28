"""The CUDA kernels on the CPU: in every order of threads, on poisoned memory, with AddressSanitizer."""

import shutil
import subprocess
from pathlib import Path

import pytest

SHIM = Path(__file__).resolve().parents[2] / "kernels_cuda" / "shim"

pytestmark = pytest.mark.skipif(not shutil.which("make") or not shutil.which("g++"), reason="there is no make or no g++")

# What a mistake of each kind does to a kernel, by file: the text and what it becomes.
MISTAKES = {
    "a barrier is missing": ("product", "            BLOCK_BARRIER();\n            // Under way", "            // Under way"),
    "a copy is not waited for": ("product_mma", "wait_for_copies<STAGES - 2>", "wait_for_copies<STAGES - 1>"),
    "threads part at a barrier": (
        "product",
        "            BLOCK_BARRIER();\n            // Under",
        "            if (row) BLOCK_BARRIER();\n            // Under",
    ),
    "a fragment is taken wrongly": ("product_mma", "(matrix >> outer_bit & 1)", "(matrix >> (1 - outer_bit) & 1)"),
    "an edge is not checked": ("product", "x < size && z < k", "x < size + TILE && z < k"),
}


def run_tests(shim: Path, out: Path, *families: str) -> "subprocess.CompletedProcess[str]":
    """Builds what is not yet built in `out`, and tests the kernels, or some families of them."""
    subprocess.run(["make", "-s", "-j2", "test", f"OUT={out}"], cwd=shim, check=True)
    return subprocess.run([out / "kernels_test", *families], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shim")


def test_kernels(out: Path) -> None:
    done = run_tests(SHIM, out)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_caught(out: Path, tmp_path: Path, mistake: str) -> None:
    family, right, wrong = MISTAKES[mistake]
    run_tests(SHIM, out, "none")
    # Only the kernels that are changed are built again.
    shutil.copytree(SHIM.parent, tmp_path / "kernels_cuda")
    shutil.copytree(out, tmp_path / "out")
    source = tmp_path / "kernels_cuda" / f"{family}.cu"
    text = source.read_text()
    assert right in text
    source.write_text(text.replace(right, wrong, 1))
    done = run_tests(tmp_path / "kernels_cuda" / "shim", tmp_path / "out", family)
    assert done.returncode != 0, f"nobody notices that {mistake}"
