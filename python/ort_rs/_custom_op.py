"""Operators that are functions of Python."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ort_rs import _core


class TensorInfo(NamedTuple):
    """What is known of an input before the model runs."""

    dtype: np.dtype[Any]
    """The type of its elements."""
    shape: tuple[int | str, ...] | None
    """Sizes; a name for each that is not known yet, `None` when even their number is not."""


class CustomOp:
    """A function that models call as an operator; `custom_op` makes it. It can be called as before."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        signature: str,
        *,
        types: Mapping[str, Sequence[str]] | None,
        since: int,
        infer: Callable[..., Any] | None,
        pure: bool,
    ) -> None:
        """Take what `custom_op` is given."""
        domain, separator, operator = name.rpartition("::")
        if not (domain and separator and operator):
            raise ValueError(f"'{name}' is no name of an operator: it should read like 'my.domain::Name'")
        functools.update_wrapper(self, function)
        self.name = name
        self._function = function
        allowed, required = _attributes(function, signature)
        self._op = _core.CustomOp(
            domain,
            operator,
            signature,
            types={variable: list(names) for variable, names in (types or {}).items()},
            since_version=since,
            call=function,
            infer=None if infer is None else functools.partial(_shapes, infer),
            allowed=allowed,
            required=required,
            pure=pure,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __reduce__(self) -> str:
        """Be found again by module and name: functions go to other processes as imports."""
        return str(self.__qualname__)  # type: ignore[attr-defined]  # The wrapper of a function has that of the function.

    def register(self) -> None:
        """Let every session that is made from now on run the operator, in place of one of its name."""
        self._op.register()


def custom_op(
    name: str,
    signature: str,
    *,
    types: Mapping[str, Sequence[str]] | None = None,
    since: int = 1,
    infer: Callable[..., Any] | None = None,
    pure: bool = False,
    register: bool = True,
) -> Callable[[Callable[..., Any]], CustomOp]:
    """Make a function an operator that models can call: a decorator.

    `name` is `"domain::Name"`. `signature` lists inputs and outputs with their types, `"x:T, bias:T? -> y:T"`: a type of ONNX, or a
    variable that `types` gives a list of types, or any; `?` behind it for an input that may be left out, `*` for one that may come
    any number of times. The function gets an array for each input, read-only, `None` for one left out, and attributes as keywords; it
    gives an array for the output, or a tuple of them.

    `infer` tells shapes before the model runs: it gets a `TensorInfo` for each input and the attributes, and gives a shape, or a list
    of them: sizes, names of sizes of inputs, `None` for what is not known. With `pure`, a node of constants is computed when the model
    is loaded. With `register`, every session from now on knows the operator; else those whose `SessionOptions.register_custom_op` got it.

    Raises `ValueError` for names and signatures that are none, `TypeError` when function and signature do not go together.
    """

    def decorate(function: Callable[..., Any]) -> CustomOp:
        op = CustomOp(function, name, signature, types=types, since=since, infer=infer, pure=pure)
        if register:
            op.register()
        return op

    return decorate


def _attributes(function: Callable[..., Any], signature: str) -> tuple[list[str] | None, list[str]]:
    """Give the keywords that a function takes, `None` for any, and those that it needs."""
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    inputs = [text for text in signature.partition("->")[0].split(",") if text.strip()]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if not variadic and (len(positional) != len(inputs) or any(text.strip().endswith(("*", "~")) for text in inputs)):
        given = ", ".join(p.name for p in positional)
        raise TypeError(f"the function takes ({given}), but the signature '{signature}' has {len(inputs)} inputs; attributes are keywords")
    any_keyword = any(p.kind is p.VAR_KEYWORD for p in parameters)
    required = [p.name for p in keywords if p.default is p.empty]
    return (None if any_keyword else [p.name for p in keywords]), required


def _shapes(
    infer: Callable[..., Any],
    inputs: Sequence[tuple[np.dtype[Any], tuple[int | str, ...] | None] | None],
    attributes: Mapping[str, Any],
    count: int,
) -> list[Any]:
    """Give a shape for each output, `None` for one of unknown rank."""
    told = infer(*(None if given is None else TensorInfo(*given) for given in inputs), **attributes)
    one = told is None or not isinstance(told, list)
    shapes = [told] if one else list(told)
    if len(shapes) != count:
        raise ValueError(f"infer gave {len(shapes)} shapes for {count} outputs")
    return [None if shape is None else [_size(size) for size in shape] for shape in shapes]


def _size(size: Any) -> int | str | None:
    return size if size is None or isinstance(size, str) else int(size)
