"""What this machine and this installation have."""

import importlib.metadata
import platform
import sys
from dataclasses import dataclass

from ort_rs import _core

# Packages that are used where they are there, and what for.
_PACKAGES = {
    "numpy": "arrays",
    "ml_dtypes": "bfloat16, float8, 4-bit types",
    "onnx": "the backend of `ort_rs.backend`",
    "onnxruntime": "quantization and tools under `install_as_onnxruntime`",
}


@dataclass(frozen=True)
class Diagnosis:
    """What was found: facts by section, and what should be looked into."""

    sections: dict[str, dict[str, str]]
    """Names and values, by what they are about."""
    advice: list[str]
    """What should be looked into, a sentence each."""

    def __str__(self) -> str:
        """Give sections with their facts in columns, then advice."""
        width = max(len(name) for facts in self.sections.values() for name in facts)
        lines = []
        for title, facts in self.sections.items():
            lines += [title, *(f"  {name:<{width}}  {value}" for name, value in facts.items())]
        return "\n".join([*lines, *([f"! {line}" for line in self.advice] or ["Nothing looks wrong."])])

    __repr__ = __str__


def doctor() -> Diagnosis:
    """Look at the machine, the limits of the process, threads, providers, settings and packages.

    Each provider that ONNX Runtime has and this build or machine has not comes with the cause.
    """
    sections, advice = _core.diagnose()
    sections["Python"] = {
        "version": f"{platform.python_implementation()} {platform.python_version()}",
        "free threading": "yes" if not getattr(sys, "_is_gil_enabled", lambda: True)() else "no",
    }
    for name, use in _PACKAGES.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        sections["Python"][name] = f"{version} ({use})"
    available = set(_core.get_available_providers())
    missing = [name for name in _core.get_all_providers() if name not in available and name not in sections["Providers"]]
    sections["Providers"]["not in this build"] = ", ".join(missing)
    return Diagnosis(sections, advice)
