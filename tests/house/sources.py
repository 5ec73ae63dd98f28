"""The project's own source files."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benches", "examples", "fuzz", "kernels_cuda", "python", "rust", "tests")
SUFFIXES = {".rs", ".py", ".pyi", ".cu", ".cuh", ".h", ".cpp"}


def source_files() -> list[Path]:
    """Every source file of the project; nothing that is built."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    return sorted(path for path in files if path.suffix in SUFFIXES and not _is_built(path))


def _is_built(path: Path) -> bool:
    return any(part.startswith((".", "target")) or part == "__pycache__" for part in path.relative_to(ROOT).parts)
