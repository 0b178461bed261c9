"""Catalogue row L4: whatever way a feature or a view takes to the labels, it is refused when it is registered."""

from collections.abc import Callable

import ibis
import pytest

from data.errors import LeakageError
from features import labels as truth_module
from features.labels import eligible, labels
from features.registry import FEATURES, Expression, Registry

Function = Callable[..., Expression]


def in_a_lambda(orders: ibis.Table) -> Expression:
    """Reach them in a function inside."""
    late = lambda: eligible({}, [], "UTC", 1)  # noqa: E731
    return orders.count() + late().count()


def in_a_comprehension(orders: ibis.Table) -> Expression:
    """Reach them in a comprehension, which may be a function of its own."""
    return sum([labels({}, [], "UTC", days, observed_until=None) for days in (7, 28)])


def two_floors_down(orders: ibis.Table) -> Expression:
    """Reach them in a function of a function."""

    def outer() -> Expression:
        def inner() -> Expression:
            return truth_module.purchase_gaps({}, None, "UTC")

        return inner()

    return orders.count() + outer().count()


def by_default(orders: ibis.Table, helper: Function = eligible) -> Expression:
    """Bring them along as an argument."""
    return orders.count() + helper({}, [], "UTC", 1).count()


def by_keyword(orders: ibis.Table, *, helper: object = truth_module) -> Expression:
    """Bring them along as an argument."""
    return orders.count()


def imported_inside_a_helper(orders: ibis.Table) -> Expression:
    """Import them where nobody looks."""

    def helper() -> Expression:
        from features.labels import eligible as innocent  # noqa: PLC0415

        return innocent({}, [], "UTC", 1).count()

    return orders.count() + helper()


def imported_by_name(orders: ibis.Table) -> Expression:
    """Import them at run time."""
    import importlib  # noqa: PLC0415

    return importlib.import_module("features.labels").eligible({}, [], "UTC", 1).count()


WAYS = [
    in_a_lambda,
    in_a_comprehension,
    two_floors_down,
    by_default,
    by_keyword,
    imported_inside_a_helper,
    imported_by_name,
]


def innocent(orders: ibis.Table) -> Expression:
    """Use functions inside, defaults and names that only look like labels."""
    labels_of_axes = [name for name in orders.columns if name != "labels"]
    return sum(orders[name].count() for name in labels_of_axes)


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    made.views |= FEATURES.views
    return made


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_feature_cannot_reach_the_labels(registry: Registry, way: Function) -> None:
    with pytest.raises(LeakageError, match=rf"{way.__name__} reaches"):
        registry.feature(view="orders", unit="count")(way)
    assert way.__name__ not in registry


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_view_cannot_reach_the_labels(registry: Registry, way: Function) -> None:
    with pytest.raises(LeakageError, match=rf"{way.__name__} reaches"):
        registry.view(sources=["transactions"])(way)
    assert way.__name__ not in registry.views


def test_what_only_looks_like_labels_is_let_in(registry: Registry) -> None:
    registry.feature(view="orders", unit="count")(innocent)
    registry.view(sources=["transactions"])(innocent)
    assert "innocent" in registry
    assert "innocent" in registry.views
