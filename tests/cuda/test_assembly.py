"""Every kernel assembles for the devices that it is meant for, and keeps its values in registers."""

import subprocess
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = (75, 80, 90)


def assembler() -> Path | None:
    """NVIDIA's assembler, from the package for Python."""
    spec = find_spec("nvidia")
    folders = [Path(p) for p in spec.submodule_search_locations or []] if spec else []
    return next((p for folder in folders for p in folder.glob("cuda_nvcc/bin/ptxas")), None)


def images() -> list[Path]:
    """The PTX of the latest build."""
    tables = sorted(ROOT.glob("target/*/build/ort-rs-cuda-provider-*/out/kernels.rs"), key=lambda p: p.stat().st_mtime)
    return sorted(tables[-1].parent.glob("*.ptx.z")) if tables else []


PTXAS = assembler()
IMAGES = images()


@pytest.mark.skipif(PTXAS is None, reason="there is no ptxas (nvidia-cuda-nvcc-cu12)")
def test_there_are_kernels() -> None:
    files = {p.stem for p in (ROOT / "kernels_cuda").glob("*.cu")}
    built = {p.name.rsplit("_", 1)[0] for p in IMAGES}
    assert built == files, "the build has not compiled every kernel: is NVRTC there?"


@pytest.mark.skipif(PTXAS is None, reason="there is no ptxas (nvidia-cuda-nvcc-cu12)")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("image", IMAGES, ids=lambda p: p.name.removesuffix(".ptx.z"))
def test_assembles(image: Path, architecture: int, tmp_path: Path) -> None:
    told = image.name.removesuffix(".ptx.z").rsplit("_", 1)[1]
    least = int(told.removesuffix("a"))
    if least > architecture or (told.endswith("a") and least != architecture):
        pytest.skip(f"the file is for sm_{told}")
    ptx = tmp_path / "kernels.ptx"
    ptx.write_bytes(zlib.decompress(image.read_bytes()))
    assert b".version 8.0" in ptx.read_bytes(), "drivers since 525 take PTX 8.0, and no later one"
    command = [
        str(PTXAS),
        f"-arch=sm_{told if told.endswith('a') else architecture}",
        "--warn-on-spills",
        "--warning-as-error",
        str(ptx),
        "-o",
        str(tmp_path / "cubin"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
