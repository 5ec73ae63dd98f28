"""How the build gets its kernels: from NVRTC, from a folder of PTX, or not at all. Its program is run by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_assembly import PTXAS, ROOT

# Tensor cores that only devices of capability 9.0 have.
EXACT = """// A warp group's fence.
// compute: 80 90a
extern "C" __global__ void fence(int* y) {
#if __CUDA_ARCH__ >= 900
    asm volatile("wgmma.fence.sync.aligned;");
#endif
    *y = 1;
}
"""


def program() -> Path | None:
    """The program that the latest build ran."""
    found = sorted(ROOT.glob("target/*/build/ort-rs-cuda-provider-*/build-script-main"), key=lambda p: p.stat().st_mtime)
    return found[-1] if found else None


PROGRAM = program()

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nothing was built here")


def build(project: Path, out: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs the program for the crate of `project`, with the settings that cargo gives it."""
    out.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ORT_RS_PTX")}
    environment |= {"CARGO_MANIFEST_DIR": str(project / "rust" / "cuda-provider"), "OUT_DIR": str(out), "NUM_JOBS": "2", **settings}
    return subprocess.run([str(PROGRAM)], env=environment, capture_output=True, text=True, check=False)


def project_of(folder: Path, source: str) -> Path:
    """A project with one file of kernels."""
    (folder / "rust" / "cuda-provider").mkdir(parents=True)
    (folder / "kernels_cuda").mkdir()
    (folder / "kernels_cuda" / "one.cu").write_text(source)
    return folder


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings with which NVRTC is found."""
    folder = tmp_path_factory.mktemp("compiler")
    project = project_of(folder / "project", EXACT)
    done = build(project, folder / "out", PYO3_PYTHON=sys.executable)
    if "built without CUDA kernels" in done.stdout:
        pytest.skip("there is no NVRTC (nvidia-cuda-nvrtc-cu12)")
    return {"PYO3_PYTHON": sys.executable}


def test_without_a_compiler_it_goes_on_and_says_so(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "out", PYO3_PYTHON="/no/python")
    assert done.returncode == 0, done.stderr
    assert "cargo:warning=built without CUDA kernels: /no/python cannot be run" in done.stdout
    assert (tmp_path / "out" / "kernels.rs").read_text().split() == ["&[", "]"]


def test_packagers_bring_their_own_ptx(tmp_path: Path, compiler: dict[str, str]) -> None:
    ptx = tmp_path / "ptx"
    ptx.mkdir()
    made = build(ROOT, tmp_path / "made", ORT_RS_PTX_OUT=str(ptx), **compiler)
    assert made.returncode == 0, made.stdout + made.stderr
    taken = build(ROOT, tmp_path / "taken", ORT_RS_PTX_DIR=str(ptx), PYO3_PYTHON="/no/python")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert "warning" not in taken.stdout
    for file in (tmp_path / "made").iterdir():
        same = (tmp_path / "taken" / file.name).read_bytes().replace(b"/taken/", b"/made/")
        assert same == file.read_bytes(), file.name
    (ptx / "unary_75.ptx").unlink()
    lacking = build(ROOT, tmp_path / "lacking", ORT_RS_PTX_DIR=str(ptx))
    assert lacking.returncode == 1
    assert "ORT_RS_PTX_DIR" in lacking.stderr
    assert "unary_75.ptx cannot be read" in lacking.stderr


def test_a_kernel_that_does_not_compile_fails_the_build(tmp_path: Path, compiler: dict[str, str]) -> None:
    bad = project_of(tmp_path / "bad", 'extern "C" __global__ void one(int* y) { *y = nothing; }\n')
    done = build(bad, tmp_path / "out", **compiler)
    assert done.returncode == 1
    assert "one.cu does not compile for compute_75" in done.stderr
    assert 'identifier "nothing" is undefined' in done.stderr


def test_files_may_ask_for_all_that_one_architecture_has(tmp_path: Path, compiler: dict[str, str]) -> None:
    done = build(project_of(tmp_path / "project", EXACT), tmp_path / "out", ORT_RS_PTX_OUT=str(tmp_path), **compiler)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "out" / "kernels.rs").read_text()
    assert table.index("capability: 80, exact: false") < table.index("capability: 90, exact: true")
    text = (tmp_path / "one_90a.ptx").read_text()
    assert ".target sm_90a" in text
    assert "wgmma.fence" in text
    if PTXAS:
        command = [str(PTXAS), "-arch=sm_90a", str(tmp_path / "one_90a.ptx"), "-o", str(tmp_path / "cubin")]
        subprocess.run(command, check=True)
