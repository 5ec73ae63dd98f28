"""Keywords of backend calls that set attributes of options."""

from collections.abc import Mapping
from typing import Any


def set_attributes(options: object, keywords: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Set the attributes of `options` that `keywords` name; ignore names it does not have.

    Raises `RuntimeError` for an attribute that is not `allowed`.
    """
    for name, value in keywords.items():
        if name in allowed:
            setattr(options, name, value)
        elif hasattr(options, name):
            kind = type(options).__name__
            names = ", ".join(sorted(allowed))
            raise RuntimeError(f"{kind} attribute '{name}' is not permitted via the backend API. Allowed attributes: {names}")
