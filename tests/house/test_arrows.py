"""The crates lean on each other only along the arrows of docs/architecture.md."""

import tomllib
from pathlib import Path

import pytest

from sources import ROOT

# What each crate may lean on, besides crates from outside. Nothing points upward: each line names only crates of lines above it.
ALLOWED: dict[str, set[str]] = {
    "base": set(),
    "simd": {"base"},
    "gemm": {"base", "simd"},
    "proto": {"base"},
    "ir": {"base"},
    "cuda": {"base"},
    "op": {"base", "ir", "cuda"},
    "cuda-provider": {"base", "ir", "cuda", "op"},
    "ops-math": {"base", "ir", "op", "simd"},
    "ops-tensor": {"base", "ir", "op"},
    "ops-nn": {"base", "ir", "op", "gemm", "simd"},
    "ops-media": {"base", "ir", "op"},
    "ops-misc": {"base", "ir", "op", "gemm", "simd"},
    "ops-ml": {"base", "ir", "op", "gemm", "simd"},
    "passes": {"base", "ir"},
    "exec": {"base", "ir", "op"},
    "session": {"base", "ir", "op", "exec", "passes", "proto"},
    "ort-rs": {
        *("base", "simd", "ir", "op", "cuda", "cuda-provider", "session", "proto"),
        *("ops-math", "ops-tensor", "ops-nn", "ops-media", "ops-misc", "ops-ml"),
    },
    "testkit": {"base", "ir", "op", "proto"},
    "py": {"ort-rs"},
}
# Whatever reads or rewrites an untrusted model has no unsafe code at all.
SAFE = ("proto", "ir", "passes")


def manifests() -> dict[str, Path]:
    """The manifest of each crate, by the name that the others use."""
    found = sorted(ROOT.glob("rust/*/Cargo.toml")) + sorted(ROOT.glob("rust/ops/*/Cargo.toml"))
    return {"-".join(path.parent.relative_to(ROOT / "rust").parts): path for path in found}


def test_every_crate_has_a_place() -> None:
    assert set(manifests()) == set(ALLOWED)


def test_nothing_points_upward() -> None:
    above: set[str] = set()
    for crate, leans_on in ALLOWED.items():
        assert leans_on <= above, f"{crate} leans on crates that come after it"
        above.add(crate)


@pytest.mark.parametrize("crate", ALLOWED)
def test_arrows(crate: str) -> None:
    manifest = tomllib.loads(manifests()[crate].read_text())
    sections = [manifest, *manifest.get("target", {}).values()]
    used = {name for section in sections for name in section.get("dependencies", {}) if name in ALLOWED}
    assert used <= ALLOWED[crate], f"{crate} may not lean on {sorted(used - ALLOWED[crate])}"


@pytest.mark.parametrize("crate", SAFE)
def test_readers_are_safe(crate: str) -> None:
    assert "#![forbid(unsafe_code)]" in (manifests()[crate].parent / "src/lib.rs").read_text()


@pytest.mark.parametrize("crate", ALLOWED)
def test_lints_are_shared(crate: str) -> None:
    manifest = tomllib.loads(manifests()[crate].read_text())
    assert manifest.get("lints") == {"workspace": True}
