"""Standing in for ONNX Runtime: `import onnxruntime` gives ort_rs, for programs that cannot be changed."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import ort_rs
from ort_rs.capi import build_and_package_info

_NAME = "onnxruntime"
_API_LEVEL = build_and_package_info.__version__
# The subpackages that ort_rs has itself.
_OWN = ("backend", "capi", "datasets")
# Those of pure Python that come from an installed ONNX Runtime: they drive whatever `onnxruntime` is.
_BORROWED = ("quantization", "tools", "transformers")


class _StandIn(ModuleType):
    """The module `onnxruntime`: ort_rs, but for the version."""

    def __getattr__(self, name: str) -> Any:
        """Give what ort_rs has under that name."""
        try:
            return getattr(ort_rs, name)
        except AttributeError:
            raise AttributeError(f"module '{_NAME}', which is ort_rs, has no attribute '{name}'") from None

    def __dir__(self) -> list[str]:
        """List what ort_rs has, and what the module has itself."""
        return sorted({*super().__dir__(), *dir(ort_rs)})


class _Alias(importlib.abc.Loader):
    """Gives a module of ort_rs under another name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:  # noqa: ARG002
        """Import the module under its own name; its specification is put back after."""
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is: it has run."""
        module.__spec__ = self._spec


class _Distribution(importlib.metadata.Distribution):
    """What tells the installed version of `onnxruntime`."""

    def read_text(self, filename: str) -> str | None:
        """Give the metadata, the only file there is."""
        return f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: {_API_LEVEL}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        """Refuse: there are no files."""
        raise FileNotFoundError(f"{_NAME} is ort_rs and has no file {path}")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds `onnxruntime` and its subpackages here."""

    def __init__(self, installed: Sequence[str]) -> None:
        # Where an installed ONNX Runtime keeps its Python files.
        self._installed = installed

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """Tell how to load `fullname`, if it is part of `onnxruntime`."""
        package, _, rest = fullname.partition(".")
        if package != _NAME or not rest:
            return None
        kind = rest.partition(".")[0]
        if kind in _OWN:
            name = f"ort_rs.{rest}"
            return importlib.machinery.ModuleSpec(fullname, _Alias(name)) if _exists(name) else None
        if rest in _BORROWED:
            spec = importlib.machinery.PathFinder.find_spec(fullname, self._installed)
            if spec is None:
                raise ModuleNotFoundError(
                    f"{fullname} is not part of ort_rs; it is taken from an installed {_NAME}, and there is none", name=fullname
                )
            return spec
        return importlib.machinery.PathFinder.find_spec(fullname, path) if kind in _BORROWED else None

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        """Give the distribution that `onnxruntime` seems to come from, if it is asked for by name."""
        asked = None if context is None else context.name
        if asked is not None and asked.lower() == _NAME:
            yield _Distribution()


def _exists(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return False
    return True


def _installed() -> list[str]:
    spec = importlib.machinery.PathFinder.find_spec(_NAME, [entry for entry in sys.path if entry])
    return list(spec.submodule_search_locations or ()) if spec else []


def install_as_onnxruntime() -> None:
    """Make `import onnxruntime` give ort_rs in this process, its submodules and the version that packages ask for included.

    `onnxruntime.quantization`, `.transformers` and `.tools` are taken from an installed ONNX Runtime, whose native code stays unused.

    Raises `RuntimeError` when ONNX Runtime itself was imported before.
    """
    there = sys.modules.get(_NAME)
    if isinstance(there, _StandIn):
        return
    if there is not None:
        raise RuntimeError("onnxruntime was imported before; ort_rs can only stand in for it from the start")
    sys.meta_path.insert(0, _Finder(_installed()))
    module = _StandIn(_NAME, ort_rs.__doc__)
    spec = importlib.machinery.ModuleSpec(_NAME, None, origin=ort_rs.__file__, is_package=True)
    module.__spec__, module.__path__, module.__file__ = spec, [], ort_rs.__file__
    module.__dict__["__version__"] = _API_LEVEL
    sys.modules[_NAME] = module
    for name in _OWN:
        # The backend needs the package `onnx`; whoever imports it then is told.
        if name != "backend":
            module.__dict__[name] = importlib.import_module(f"{_NAME}.{name}")
