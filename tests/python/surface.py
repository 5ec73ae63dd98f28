"""What a module has under public names: facts that can be compared from one implementation to the other."""

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

# The modules of ONNX Runtime that programs import, after the name of the package.
MODULES = (
    "",
    ".backend",
    ".backend.backend",
    ".backend.backend_rep",
    ".capi",
    ".capi.build_and_package_info",
    ".capi.onnxruntime_inference_collection",
    ".capi.onnxruntime_pybind11_state",
    ".capi.onnxruntime_validation",
    ".datasets",
)


def public(thing: object) -> list[str]:
    """The public names of `thing`."""
    return [name for name in dir(thing) if not name.startswith("_")]


def names_of(module: ModuleType) -> list[str]:
    """The public names of a module that are its package's own: not what it imports from elsewhere."""
    package = module.__name__.partition(".")[0]

    def own(thing: Any) -> bool:
        if inspect.ismodule(thing):
            return False
        # Values have no module, and native functions do not tell theirs.
        home = getattr(thing, "__module__", None)
        return home is None or home.partition(".")[0] == package

    return [name for name in public(module) if own(getattr(module, name))]


def parameters(function: Any) -> list[tuple[str, object]] | None:
    """Names and defaults of what `function` takes, without `self`; `None` where it does not tell."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    taken = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    return [(p.name, p.default) for p in taken if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def members(kind: Any) -> dict[str, int]:
    """Names and numbers of an enumeration; none for any other class."""
    return {name: int(member.value) for name, member in getattr(kind, "__members__", {}).items()}


def lacks(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    """What `theirs` has and `ours` has not, or has otherwise."""
    if inspect.isclass(theirs):
        if not inspect.isclass(ours):
            yield f"{where}: is a class"
            return
        for name, number in members(theirs).items():
            if members(ours).get(name) != number:
                yield f"{where}.{name} = {number}"
        if not members(theirs):
            for name in public(theirs):
                if hasattr(ours, name):
                    yield from lacks(getattr(theirs, name), getattr(ours, name), f"{where}.{name}")
                else:
                    yield f"{where}.{name}"
    elif callable(theirs):
        if not callable(ours):
            yield f"{where}: can be called"
            return
        wanted, has = parameters(theirs), parameters(ours)
        if wanted is not None and has is not None and not fits(wanted, has):
            yield f"{where}({', '.join(shown(p) for p in wanted)})"


def fits(wanted: list[tuple[str, object]], has: list[tuple[str, object]]) -> bool:
    """Whether what can be given to a function that takes `wanted` can be given to one that takes `has`."""
    empty = inspect.Parameter.empty

    def same(theirs: tuple[str, object], ours: tuple[str, object]) -> bool:
        # What must be given there may be left out here.
        return theirs[0] == ours[0] and (theirs[1] is empty or (ours[1] is not empty and repr_of(theirs[1]) == repr_of(ours[1])))

    first, rest = has[: len(wanted)], has[len(wanted) :]
    return len(first) == len(wanted) and all(map(same, wanted, first)) and all(d is not empty for _, d in rest)


def repr_of(default: object) -> str:
    """A default as text: enumerations of both sides by name."""
    return str(default) if hasattr(default, "name") else repr(default)


def shown(parameter: tuple[str, object]) -> str:
    """A parameter as text."""
    name, default = parameter
    return name if default is inspect.Parameter.empty else f"{name}={repr_of(default)}"


def missing(theirs: str, ours: str) -> list[str]:
    """What the package `theirs` has under public names and the package `ours` has not."""
    found: list[str] = []
    # Classes that were compared: one class may have several names.
    seen: set[tuple[int, int]] = set()
    for suffix in MODULES:
        their_module = importlib.import_module(theirs + suffix)
        where = "onnxruntime" + suffix
        try:
            our_module = importlib.import_module(ours + suffix)
        except ModuleNotFoundError:
            found.append(where)
            continue
        for name in names_of(their_module):
            if not hasattr(our_module, name):
                found.append(f"{where}.{name}")
                continue
            pair = getattr(their_module, name), getattr(our_module, name)
            ids = id(pair[0]), id(pair[1])
            if ids not in seen:
                found += lacks(*pair, f"{where}.{name}")
                seen.add(ids)
    return sorted(found)
