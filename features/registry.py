"""The registry: one decorated function is one feature, one decorated function is one view."""

import dis
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import ibis

from data.errors import ConfigError, LeakageError

if TYPE_CHECKING:
    from features.views import History

# Ibis types its columns at run time; the checker only sees the name.
Expression: TypeAlias = Any
Unit = Literal["cents", "count", "days", "years", "share", "ratio", "index", "nats", "flag"]
LABELS_MODULE = "features.labels"


@dataclass(frozen=True)
class View:
    """A shared scan: a table with one row per (customer_id, as_of, thing), known at ``as_of``.

    Parameters
    ----------
    name
        Name by which features ask for it.
    sources
        Names of the accepted tables that it reads.
    build
        Function from the history to the table.
    doc
        First sentence of its docstring.
    """

    name: str
    sources: tuple[str, ...]
    build: Callable[["History"], ibis.Table]
    doc: str


@dataclass(frozen=True)
class Feature:
    """One number per (customer_id, as_of).

    Parameters
    ----------
    name
        Column name in the matrix.
    view
        Name of the view whose rows it aggregates.
    unit
        One of ``Unit``.
    null
        What null means; None means that the feature is never null and zero (or false) without rows.
    lookback
        Local calendar days before ``as_of`` beyond which nothing changes it; None means the whole history.
    family
        Module that holds it.
    doc
        First sentence of its docstring.
    expression
        Function from the view to one aggregate expression.
    """

    name: str
    view: str
    unit: Unit
    null: str | None
    lookback: int | None
    family: str
    doc: str
    expression: Callable[[ibis.Table], Expression]


class Registry(Mapping[str, Feature]):
    """Features by name, and the views that they share.

    Examples
    --------
    >>> registry = Registry()
    >>> @registry.feature(view="orders", unit="count")
    ... def n_orders(orders: ibis.Table) -> Expression:
    ...     "Orders so far."
    ...     return orders.count()
    >>> registry["n_orders"].unit
    'count'
    """

    def __init__(self) -> None:
        self._features: dict[str, Feature] = {}
        self.views: dict[str, View] = {}

    def __getitem__(self, name: str) -> Feature:
        return self._features[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._features))

    def __len__(self) -> int:
        return len(self._features)

    def feature(
        self, *, view: str, unit: Unit, null: str | None = None, lookback: int | None = None
    ) -> Callable[[Callable[[ibis.Table], Expression]], Callable[[ibis.Table], Expression]]:
        """Register the decorated function as a feature under its own name.

        Parameters
        ----------
        view
            Name of the view whose rows it aggregates.
        unit
            One of ``Unit``.
        null
            What null means; None for a feature that is never null.
        lookback
            Local calendar days that it looks back, None for the whole history.

        Raises
        ------
        LeakageError
            If the function can reach the label module.
        ConfigError
            If the name is taken, the unit is unknown or the docstring is missing.
        """

        def register(function: Callable[[ibis.Table], Expression]) -> Callable[[ibis.Table], Expression]:
            _refuse_labels(function)
            if unit not in get_args(Unit):
                raise ConfigError(f"unit {unit!r} of {function.__name__}", f"one of {get_args(Unit)}", "choose one")
            taken = self._features.get(function.__name__)
            self._claim(function, taken.expression if taken else None)
            family = function.__module__.rpartition(".")[2]
            self._features[function.__name__] = Feature(
                function.__name__, view, unit, null, lookback, family, _sentence(function), function
            )
            return function

        return register

    def view(
        self, *, sources: Sequence[str]
    ) -> Callable[[Callable[["History"], ibis.Table]], Callable[["History"], ibis.Table]]:
        """Register the decorated function as a view under its own name.

        Parameters
        ----------
        sources
            Names of the accepted tables that it reads.

        Raises
        ------
        LeakageError
            If the function can reach the label module.
        ConfigError
            If the name is taken or the docstring is missing.
        """

        def register(function: Callable[["History"], ibis.Table]) -> Callable[["History"], ibis.Table]:
            _refuse_labels(function)
            taken = self.views.get(function.__name__)
            self._claim(function, taken.build if taken else None)
            self.views[function.__name__] = View(function.__name__, tuple(sources), function, _sentence(function))
            return function

        return register

    def copy(self) -> "Registry":
        """Return another registry of the same features and views: what is added to it leaves this one as it is."""
        twin = Registry()
        twin.views |= self.views
        twin._features |= self._features
        return twin

    def select(self, names: Sequence[str] | None) -> list[Feature]:
        """Return the named features by name, or all of them.

        Parameters
        ----------
        names
            Feature names, None for all.

        Raises
        ------
        ConfigError
            If a name is not registered, or a feature asks for a view that is not.
        """
        unknown = sorted(set(names or ()) - set(self))
        if unknown:
            raise ConfigError(f"feature names {unknown}", f"names of the catalogue: {list(self)}", "correct the names")
        chosen = [self[name] for name in self if names is None or name in names]
        homeless = [feature.name for feature in chosen if feature.view not in self.views]
        if homeless:
            raise ConfigError(f"features {homeless} of no known view", f"one of {sorted(self.views)}", "correct view=")
        return chosen

    @staticmethod
    def _claim(function: Callable[..., object], owner: Callable[..., object] | None) -> None:
        # The same place may define a name again: that is how one works in a notebook.
        if owner and (owner.__module__, owner.__qualname__) != (function.__module__, function.__qualname__):
            raise ConfigError(
                f"{function.__name__} in {function.__module__}",
                f"a name that {owner.__module__} has not taken",
                "rename it",
            )


def _sentence(function: Callable[..., object]) -> str:
    doc = inspect.getdoc(function)
    if not doc:
        raise ConfigError(f"{function.__name__} without docstring", "one sentence for the catalogue", "write it")
    return " ".join(doc.split("\n\n")[0].split())


def _refuse_labels(function: Callable[..., object]) -> None:
    codes = list(_codes(function.__code__))
    names = {name for code in codes for name in code.co_names}
    scope = {name: value for name, value in function.__globals__.items() if name in names}
    scope |= inspect.getclosurevars(function).nonlocals
    scope |= {name: spec.default for name, spec in inspect.signature(function).parameters.items()}
    if function.__module__.startswith("features."):
        # In the package not even a neighbour of the function may see the labels.
        scope |= function.__globals__
    reached = [
        name
        for name, value in scope.items()
        if LABELS_MODULE in (getattr(value, "__module__", None), getattr(value, "__name__", None))
    ]
    late = [step.argval for code in codes for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME"]
    if reached or late:
        raise LeakageError(
            f"{function.__name__} reaches {', '.join(reached + late)}",
            "a feature or view that knows its argument alone: no label module, no import of its own",
            "remove the import",
        )


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of every function inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


FEATURES = Registry()
feature = FEATURES.feature
view = FEATURES.view
