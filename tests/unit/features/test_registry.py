"""One decorated function is one feature; what cannot be one is refused with its reason."""

import ibis
import pytest

from data.errors import ConfigError, LeakageError
from features import labels as label_module
from features.labels import eligible
from features.matrix import catalogue
from features.registry import FEATURES, Expression, Registry


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    made.views |= FEATURES.views
    return made


def plain(orders: ibis.Table) -> Expression:
    """Count orders.

    More words.
    """
    return orders.count()


def test_a_feature_carries_what_it_declares(registry: Registry) -> None:
    registry.feature(view="orders", unit="count", lookback=7)(plain)
    feature = registry["plain"]
    assert (feature.view, feature.unit, feature.null, feature.lookback) == ("orders", "count", None, 7)
    assert feature.family == "test_registry"
    assert feature.doc == "Count orders."
    assert feature.expression is plain


def test_names_come_sorted_whatever_the_order_of_imports() -> None:
    assert list(FEATURES) == sorted(FEATURES)
    assert [feature.name for feature in FEATURES.select(["tenure_days", "recency_days"])] == [
        "recency_days",
        "tenure_days",
    ]


def test_the_same_place_may_define_a_name_again(registry: Registry) -> None:
    registry.feature(view="orders", unit="count")(plain)
    registry.feature(view="orders", unit="count", lookback=28)(plain)
    assert registry["plain"].lookback == 28


def test_another_place_may_not(registry: Registry) -> None:
    registry.feature(view="orders", unit="count")(plain)

    def other(orders: ibis.Table) -> Expression:
        """Count otherwise."""
        return orders.count()

    other.__name__ = "plain"
    with pytest.raises(ConfigError, match="not taken"):
        registry.feature(view="orders", unit="count")(other)


def test_a_feature_without_words_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="one sentence"):
        registry.feature(view="orders", unit="count")(lambda orders: orders.count())


def test_an_unknown_unit_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="furlongs"):
        registry.feature(view="orders", unit="furlongs")(plain)  # type: ignore[arg-type]


def test_unknown_names_and_views_are_refused(registry: Registry) -> None:
    registry.feature(view="nowhere", unit="count")(plain)
    with pytest.raises(ConfigError, match=r"\['plain'\] of no known view"):
        registry.select(None)
    with pytest.raises(ConfigError, match="recency_dayz"):
        FEATURES.select(["recency_dayz"])


class TestLabelsAreOutOfReach:
    def test_by_name(self, registry: Registry) -> None:
        def leaky(orders: ibis.Table) -> Expression:
            """Read the labels."""
            return eligible({}, [], "UTC", 1).count() + orders.count()

        with pytest.raises(LeakageError, match="reaches eligible"):
            registry.feature(view="orders", unit="count")(leaky)

    def test_by_module(self, registry: Registry) -> None:
        def leaky(orders: ibis.Table) -> Expression:
            """Read the labels."""
            return label_module.eligible({}, [], "UTC", 1).count() + orders.count()

        with pytest.raises(LeakageError, match="reaches label_module"):
            registry.feature(view="orders", unit="count")(leaky)

    def test_by_closure(self, registry: Registry) -> None:
        hidden = eligible

        def leaky(orders: ibis.Table) -> Expression:
            """Read the labels."""
            return hidden({}, [], "UTC", 1).count() + orders.count()

        with pytest.raises(LeakageError, match="reaches hidden"):
            registry.feature(view="orders", unit="count")(leaky)

    def test_by_a_late_import(self, registry: Registry) -> None:
        def leaky(orders: ibis.Table) -> Expression:
            """Read the labels."""
            from features import labels  # noqa: PLC0415

            return labels.eligible({}, [], "UTC", 1).count() + orders.count()

        with pytest.raises(LeakageError, match="no import of its own"):
            registry.feature(view="orders", unit="count")(leaky)

    def test_by_a_neighbour_in_the_package(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(plain, "__module__", "features.churn")
        with pytest.raises(LeakageError, match="label_module"):
            registry.feature(view="orders", unit="count")(plain)


def test_the_catalogue_lists_every_feature_once() -> None:
    rows = catalogue()
    assert list(rows.columns) == ["name", "family", "unit", "null", "lookback", "view", "sources", "doc"]
    assert rows["name"].tolist() == list(FEATURES)
    assert len(rows) >= 32
    assert rows.set_index("name").loc["n_categories_84d", "sources"] == "transactions, products"
    assert rows["doc"].str.endswith(".").all()
    assert rows.drop(columns="lookback").notna().all(axis=None)
