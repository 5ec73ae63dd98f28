"""Types of what the package has under public names."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import ort_rs
from surface import MODULES, public


def own(module: ModuleType) -> list[str]:
    """The names that `module` gives to others."""
    given: list[str] | None = getattr(module, "__all__", None)
    if given is not None:
        return given
    return [name for name in public(module) if getattr(getattr(module, name), "__module__", None) == module.__name__]


def program() -> str:
    """A program that touches every public name, and every member of every class."""
    lines = []
    for suffix in MODULES:
        module = f"ort_rs{suffix}"
        lines.append(f"import {module}")
        for name in own(importlib.import_module(module)):
            thing = getattr(sys.modules[module], name)
            lines.append(f"_: object = {module}.{name}")
            if inspect.isclass(thing) and not issubclass(thing, BaseException):
                function = f"def touch(x: {module}.{name}) -> tuple[object, ...]:"
                members = "".join(f"x.{member}, " for member in public(thing))
                lines += [function, f"    return ({members})"]
    return "\n".join(lines) + "\n"


def test_every_public_name_has_a_type(tmp_path: Path) -> None:
    # Each function has the same name: only what it touches counts.
    path = tmp_path / "touches.py"
    path.write_text(program())
    package = Path(ort_rs.__file__).parent.parent
    flags = ["--strict", "--disable-error-code=no-redef", f"--cache-dir={tmp_path}", "--follow-untyped-imports"]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *flags, str(path)], capture_output=True, text=True, check=False, cwd=package.parent
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
