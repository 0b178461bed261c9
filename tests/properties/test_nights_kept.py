"""Night after night, rows that are taken over have the bytes of rows made anew, whatever came since.

Lines that come late, corrections, customers and products that change, people who turn out to be one, a customer who is
erased, and a Monday, on which the dates move on.
"""

import random
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data.identity.log import merge
from data.identity.masters import IDENTITY_LOG, read_log, write_log
from data.sources import FilesSource, Sources, digest
from features.matrix import collect
from features.registry import FEATURES, Registry
from pipelines import kept
from pipelines.erase import erase
from pipelines.ingest import ingest
from pipelines.observe import observe
from pipelines.run import Run, local_midnight
from pipelines.settings import Churn, Company, Settings

pytestmark = pytest.mark.slow

MAPPING = """
[transactions]
path = "daily/*.csv"
columns = { order_id = "order", customer_id = "customer", product_id = "item", event_time = "at", quantity = "pieces" }
money.amount_cents = { column = "euros" }

[customers]
path = "customers.csv"
columns = { customer_id = "customer", birth_year = "born", first_seen_on = "since" }

[products]
path = "products.csv"
columns = { product_id = "item", category = "kind" }
money.list_price_cents = { column = "price" }
"""
TUESDAY = date(2024, 6, 4)
N_DAYS, N_CUSTOMERS, N_PRODUCTS = 45, 24, 8
ZONE = "Europe/Berlin"
CALLS: list[tuple[int, int]] = []
"""Dates, and customers, for which features were made."""


@dataclass
class Shop:
    """A shop that changes, and the nights over it."""

    folder: Path
    rng: random.Random
    day: date = TUESDAY
    born: dict[str, int] = field(default_factory=lambda: {f"C{n:02}": 1950 + n for n in range(N_CUSTOMERS)})
    kinds: dict[str, str] = field(default_factory=lambda: {f"P{n}": f"K{n % 3}" for n in range(N_PRODUCTS)})
    prices: dict[str, int] = field(default_factory=lambda: {f"P{n}": 3 + n for n in range(N_PRODUCTS - 2)})
    lines: dict[tuple[str, str], str] = field(default_factory=dict)
    log: dict[str, int] = field(default_factory=dict)

    def sell(self, day: date, n_orders: int = 9) -> list[str]:
        rows = []
        for number in range(n_orders):
            order, at = f"o{len(self.lines)}-{number}", f"{day}T{self.rng.randrange(6, 24):02}:{number:02}:00"
            who = self.rng.choice(sorted(self.born))
            for item in self.rng.sample(sorted(self.kinds), self.rng.randrange(1, 4)):
                row = f"{order},{who},{item},{at},1,{self.rng.randrange(500, 800) / 100:.2f}"
                self.lines[order, item] = row
                rows.append(row)
        return rows

    def corrected(self, n_lines: int) -> list[str]:
        rows = []
        for key in self.rng.sample(sorted(self.lines), n_lines):
            self.lines[key] = self.lines[key].rpartition(",")[0] + ",99.00"
            rows.append(self.lines[key])
        return rows

    def night(self, rows: list[str]) -> tuple[Run, dict[str, int]]:
        """Deliver lines and both lists, run a night at the midnight after, and publish it."""
        (self.folder / "daily").mkdir(exist_ok=True)
        self.write(f"daily/{self.day}", "order,customer,item,at,pieces,euros", rows)
        self.write("customers", "customer,born,since", [f"{who},{year},2024-01-01" for who, year in self.born.items()])
        priced = [f"{item},{kind},{self.prices.get(item, '')}" for item, kind in self.kinds.items()]
        self.write("products", "item,kind,price", priced)
        self.day += timedelta(days=1)
        settings = Settings(
            root=self.folder / "var",
            company=Company(timezone=ZONE, currency="EUR"),
            limits={"low_volume_share": 0.0, "high_volume_share": 1e6},
            churn=Churn(horizon_days=7, eligible_days=7, n_training_dates=2),
        )
        source = FilesSource(Sources.model_validate(tomllib.loads(MAPPING)), self.folder)
        run = Run(settings, local_midnight(self.day, ZONE), digest(source))
        versions = ingest(run, source) | self.log
        versions |= observe(run, versions)
        run.lake.publish(
            run.run_key,
            flow="nightly",
            as_of=run.as_of,
            code_digest="",
            versions=versions,
            summary={},
            mlflow_run_id=None,
        )
        return run, versions

    def write(self, name: str, header: str, rows: list[str]) -> None:
        (self.folder / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")


def a_day(shop: Shop) -> list[str]:
    return shop.sell(shop.day)


def lateness_and_corrections(shop: Shop) -> list[str]:
    return shop.corrected(12) + shop.sell(shop.day - timedelta(days=16)) + shop.sell(shop.day)


def other_customer(shop: Shop) -> list[str]:
    shop.born["C03"] = 1999
    shop.born["C90"] = 1990
    return shop.sell(shop.day)


def other_category(shop: Shop) -> list[str]:
    shop.kinds["P7"] = "K9"
    return []


def one_person(shop: Shop) -> list[str]:
    run = shop_run(shop)
    how = {"by": "anna", "reason": "one household", "decided_at": datetime(2024, 3, 1)}
    shop.log = {IDENTITY_LOG: write_log(run.lake, merge(read_log(run.lake), "C04", "C05", **how))}
    return shop.sell(shop.day)


def erasure(shop: Shop) -> list[str]:
    erase(shop_run(shop).settings, ["C06"], datetime(2024, 6, 20))
    shop.born.pop("C06")
    return shop.sell(shop.day)


def shop_run(shop: Shop) -> Run:
    return Run(Settings(root=shop.folder / "var", company=Company(timezone=ZONE)), datetime(2024, 6, 20), "")


EVENTS: Mapping[Callable[[Shop], list[str]], range] = {
    lateness_and_corrections: range(1),
    other_customer: range(1, 2),
    one_person: range(1, 3),
    erasure: range(1),
}
"""What may come, and of how many customers the past must be made anew."""


def one_of_each_view() -> Registry:
    """Return a feature of each view: to write a query of all of them takes longer than to run it."""
    few = FEATURES.copy()
    few._features = {feature.view: feature for feature in FEATURES.values()}
    few._features = {feature.name: feature for feature in (*few._features.values(), FEATURES["recency_days"])}
    return few


FEW = one_of_each_view()


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note which features are made, of how many customers."""
    CALLS.clear()
    monkeypatch.setattr(kept, "FEATURES", FEW)

    def noted(tables: Mapping[str, Any], as_ofs: list[datetime], timezone: str) -> pa.Table:
        made = collect(tables, as_ofs, timezone, registry=FEW)
        CALLS.append((len(as_ofs), pc.count_distinct(made["customer_id"]).as_py()))
        return made

    monkeypatch.setattr(kept, "collect", noted)


def assert_made_of_nothing_else(night: tuple[Run, dict[str, int]]) -> None:
    """Hold what a night stored against all features made at once."""
    run, versions = night
    past = run.frame("training_observations", versions, sliced=False)
    stored = pa.concat_tables(one.select([*kept.KEYS, *FEW]) for one in (past, run.frame("observations", versions)))
    dates = [*past["as_of"].unique().to_pylist(), run.as_of]
    anew = collect(run.people(versions), dates, run.settings.company.timezone, registry=FEW).select(stored.column_names)
    assert stored.combine_chunks().equals(anew.cast(stored.schema).combine_chunks())


def opened(folder: Path, seed: int) -> Shop:
    """Return a shop after its first night, of a Tuesday, from all lines since some weeks."""
    shop = Shop(folder, random.Random(seed))
    days = [TUESDAY - timedelta(days=n) for n in range(N_DAYS, 0, -1)]
    shop.night([row for day in days for row in shop.sell(day)])
    assert CALLS.pop() == (4, N_CUSTOMERS)
    return shop


def test_what_is_taken_over_has_the_bytes_of_what_is_made(tmp_path):
    """Four nights in an order of chance, a Monday, on which one date is new, and what concerns many."""
    shop, events = opened(tmp_path, 1), list(EVENTS)
    shop.rng.shuffle(events)
    for event in events:
        CALLS.clear()
        assert_made_of_nothing_else(shop.night(event(shop)))
        assert CALLS[0][0] == 1, f"{event.__name__}: only tonight is made of all customers"
        mended = [n for n_dates, n in CALLS[1:] if n_dates == 3]
        assert len(mended) <= 1
        assert sum(mended) in EVENTS[event], event.__name__
    for event, n_dates in ((a_day, {2}), (other_category, {1, 4})):
        CALLS.clear()
        assert_made_of_nothing_else(shop.night(event(shop)))
        assert CALLS[0][0] in n_dates, event.__name__
