"""Keys of a configuration: a typo is an error that names the nearest key there is."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from data.errors import ConfigError


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return what to do about an unknown name: the nearest allowed one, whatever its case, or to remove it.

    Examples
    --------
    >>> nearest("CustomerId", ["InvoiceNo", "CustomerID"])
    "did you mean 'CustomerID'?"
    """
    by_fold = {known.casefold(): known for known in allowed}
    near = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.5)
    return f"did you mean {by_fold[near[0]]!r}?" if near else "remove it, or name another"


def one_of(allowed: Iterable[str]) -> str:
    """Return allowed names in the words of an error."""
    names = sorted(allowed)
    return f"one of {', '.join(names)}" if names else "nothing there"


def config_error(path: Path, model: type[BaseModel], error: ValidationError) -> ConfigError:
    """Return the first error of a validation in the user's words, with the nearest key where one is unknown.

    Parameters
    ----------
    path
        The configuration file.
    model
        What it was read as.
    error
        What pydantic found.
    """
    # A key that is missing is often one that is misspelt, and the misspelt one says so.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return ConfigError(
            f"{where} = {first['input']!r:.200} in {path}",
            first["msg"].removeprefix("Value error, "),
            "correct that value",
        )
    allowed = _keys_beside(model, first["loc"])
    return ConfigError(f"unknown key {where!r} in {path}", one_of(allowed), nearest(str(first["loc"][-1]), allowed))


def _keys_beside(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    annotation: Any = model
    for part in loc[:-1]:
        inner = _model_in(annotation)
        if inner is not None and str(part) in inner.model_fields:
            annotation = inner.model_fields[str(part)].annotation
    found = _model_in(annotation)
    return [] if found is None else list(found.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation such as ``tuple[Join, ...]`` or ``Table | None`` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
