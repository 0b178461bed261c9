"""A seeded world whose truth is known, in the raw tables of any shop: what a model should have found can be looked up.

Customers buy as a Poisson process at their own rate until they leave at their own constant hazard, both gamma
distributed: the Pareto/NBD world of Schmittlein, Morrison and Colombo (1987), "Counting your customers". Categories
enter a basket independently, but for a few planted pairs. One campaign is mailed by lot or to the best customers and
raises what the mailed spend while they are still there; it moves no purchase in time, so churn and rules stay exact.
The world's time zone is UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from data.demo import RAW_SCHEMAS

START = datetime(2024, 1, 1)
"""Instant at which every world begins."""

TIMEZONE = "UTC"
"""Time zone of the world's shops."""

WINDOW_DAYS = 28
"""Days from the start of the campaign in which it works."""

MIN_DAYS = 4 * WINDOW_DAYS
"""Shortest world: three windows before the campaign and its own."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_DAY = 86_400
_CAMPAIGN_ID = "1"

# Bags are in every basket: no basket is empty, so counting baskets does not bend the lifts, and a rule towards bags
# has confidence 1 and lift 1.
_CATEGORIES: dict[str, float] = {
    "bags": 1.0, "bread": 0.34, "milk": 0.30, "fruit": 0.28, "vegetables": 0.26, "cheese": 0.20, "chips": 0.20,
    "yogurt": 0.16, "pasta": 0.15, "sauce": 0.12, "coffee": 0.12, "meat": 0.12, "beer": 0.10, "fish": 0.08, "tea": 0.07,
    "filters": 0.06, "candles": 0.04, "batteries": 0.03,
}  # fmt: skip
_PER_CATEGORY = 5


@dataclass(frozen=True)
class PlantedRule:
    """Two categories that share baskets ``lift`` times as often as chance would have it."""

    antecedent: str
    consequent: str
    lift: float


RULES = (PlantedRule("coffee", "filters", 3.0), PlantedRule("pasta", "sauce", 2.5), PlantedRule("beer", "chips", 1.6))
"""The only pairs of categories of which one says anything about the other."""


@dataclass(frozen=True)
class CampaignTruth:
    """What the campaign did, per treated customer, to spend in ``window_days`` days from ``starts_at``.

    ``effect_cents`` is the average expected when the arms were drawn, ``realised_effect_cents`` what chance made of it.
    ``candidates`` has customer_id, arm, propensity (probability of 'mail') and effect_cents, the expected effect of a
    letter on this customer; customers without an order before the start are no candidates.
    """

    campaign_id: str
    starts_at: datetime
    window_days: int
    effect_cents: float
    realised_effect_cents: float
    candidates: pa.Table


@dataclass(frozen=True)
class Truth:
    """What the world knows and the shop does not.

    ``customers`` has customer_id, born_at (first order), left_at (may lie after ``as_of``), orders_per_day and
    hazard_per_day. ``orders`` has customer_id and event_time, one row per order. ``as_of`` is the end of the world.
    """

    as_of: datetime
    customers: pa.Table
    orders: pa.Table
    rules: tuple[PlantedRule, ...]
    campaign: CampaignTruth

    def churn_probability(self, as_of: datetime, horizon_days: float) -> pa.Table:
        """Return each customer's true probability of no order in [``as_of``, ``as_of`` + ``horizon_days``).

        It is what one would say who knows both rates of the customer and all orders before ``as_of``, but not who has
        left unseen: no model can know more. Who is alive orders before leaving or the horizon's end with probability
        r/(r+h) (1 - exp(-(r+h)H)); the chance of being alive is that of Schmittlein et al. (1987) for known rates.

        Returns
        -------
        pyarrow.Table
            customer_id, alive_probability and churn_probability of all customers with an order before ``as_of``.
        """
        orders = self.orders.to_pandas()
        last = orders[orders["event_time"] < as_of].groupby("customer_id")["event_time"].max().rename("last_at")
        known = self.customers.to_pandas().join(last, on="customer_id", how="inner")
        rate, total = known["orders_per_day"], known["orders_per_day"] + known["hazard_per_day"]
        silent_days = (pd.Timestamp(as_of) - known["last_at"]) / pd.Timedelta(days=1)
        # Beyond exp(700) doubles overflow; the customer is gone for certain long before.
        odds = (1 - rate / total) * np.expm1(np.minimum(total * silent_days, 700.0))
        known["alive_probability"] = 1 / (1 + odds)
        returns = rate / total * -np.expm1(-total * horizon_days)
        known["churn_probability"] = 1 - known["alive_probability"] * returns
        columns = ["customer_id", "alive_probability", "churn_probability"]
        return pa.Table.from_pandas(known[columns], preserve_index=False).replace_schema_metadata()


@dataclass(frozen=True)
class World:
    """A simulated shop: its raw ``tables``, as contracts want them, and the ``truth`` behind them."""

    tables: Mapping[str, pa.Table]
    truth: Truth


def simulate(
    seed: int, n_customers: int = 5_000, n_days: int = 365, effect_cents: float = 500.0, *, is_randomised: bool = True
) -> World:
    """Return the world of a seed, the same bytes every time.

    Parameters
    ----------
    seed
        With another effect, the same seed has the same customers place the same orders.
    n_customers
        Customers who ever order; they arrive over the first nine tenths of the days.
    n_days
        Length of the world; the campaign starts after three quarters of it.
    effect_cents
        Expected effect of the campaign on spend in ``WINDOW_DAYS`` days, averaged over the mailed; 0 or more.
    is_randomised
        True: half the candidates are mailed by lot, ``contacts`` holds both arms with their propensity. False: the more
        a candidate spent lately the likelier a letter, and ``contacts`` holds the mailed only, without propensity.

    Raises
    ------
    ValueError
        The world is shorter than ``MIN_DAYS``, has fewer than 50 customers or a negative effect.

    Examples
    --------
    >>> world = simulate(seed=7, n_customers=100, n_days=120)
    >>> world.truth.rules[0]
    PlantedRule(antecedent='coffee', consequent='filters', lift=3.0)
    >>> world.tables["contacts"].column_names
    ['campaign_id', 'customer_id', 'arm', 'assigned_at', 'contacted_at', 'propensity']
    """
    if n_days < MIN_DAYS or n_customers < 50 or effect_cents < 0:
        raise ValueError(f"a world needs {MIN_DAYS} days, 50 customers and an effect of 0 or more")
    start = int(0.75 * n_days)
    customers = _customers(seed, n_customers, n_days)
    orders = _orders(seed, customers, n_days)
    products = _products(seed)
    lines = _lines(seed, customers, orders, products)
    candidates = _candidates(seed, customers, lines, start, effect_cents, is_randomised=is_randomised)
    bonus = _bonus(seed, orders, candidates, start)
    lines.loc[~lines["order"].duplicated(), "amount_cents"] += bonus
    tables = {
        "customers": _table("customers", customers),
        "products": _table("products", products),
        "transactions": _table("transactions", lines),
        "campaigns": _table("campaigns", _campaign(start, is_randomised=is_randomised)),
        "contacts": _table("contacts", _contacts(candidates, start, is_randomised=is_randomised)),
    }
    campaign = _campaign_truth(candidates, bonus, start)
    known = customers[["customer_id", "born_at", "left_at", "orders_per_day", "hazard_per_day"]]
    visits = _arrow(orders[["customer_id", "event_time"]])
    return World(tables, Truth(START + timedelta(days=n_days), _arrow(known), visits, RULES, campaign))


def _stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one part of the world, so that a new part changes no other."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(name.encode())))


def _customers(seed: int, n: int, n_days: int) -> pd.DataFrame:
    """Draw arrival, rates, departure and size of basket of every customer, by arrival; traits say nothing of these."""
    rng, traits = _stream(seed, "customers"), _stream(seed, "traits")
    frame = pd.DataFrame({"customer_id": _ids("c", n), "born": np.sort(rng.uniform(0.0, 0.9 * n_days, n))})
    frame["orders_per_day"] = rng.gamma(1.5, 1 / 14 / 1.5, n)
    frame["hazard_per_day"] = rng.gamma(1.2, 1 / 300 / 1.2, n)
    # Nobody stays beyond 200 years: instants have their limits.
    frame["left"] = frame["born"] + np.minimum(rng.exponential(1.0, n) / frame["hazard_per_day"], 73_000.0)
    frame["extra_pieces"] = rng.gamma(2.0, 0.25, n)
    frame["born_at"], frame["left_at"] = _instants(frame["born"]), _instants(frame["left"])
    frame["first_seen_on"] = frame["born_at"]
    frame["age_band"] = traits.choice(["19-34", "35-54", "55+"], n)
    frame["region"] = traits.choice(["north", "south", "west"], n)
    frame["segment"] = traits.choice(["household", "business"], n, p=[0.9, 0.1])
    frame["account_manager"] = traits.choice(["manager 1", "manager 2", "manager 3"], n)
    return frame


def _orders(seed: int, customers: pd.DataFrame, n_days: int) -> pd.DataFrame:
    """Draw the orders: one on arrival, then a Poisson process until the customer leaves or the world ends; by time."""
    rng = _stream(seed, "orders")
    born = customers["born"].to_numpy()
    exposed = np.minimum(customers["left"].to_numpy(), n_days) - born
    who = np.arange(len(customers))
    buyer = np.repeat(who, rng.poisson(customers["orders_per_day"].to_numpy() * exposed))
    day = np.concatenate([born, born[buyer] + rng.random(len(buyer)) * exposed[buyer]])
    buyer = np.concatenate([who, buyer])
    by_time = np.lexsort((buyer, day))
    frame = pd.DataFrame({"order_id": _ids("o", len(day)), "customer": buyer[by_time], "day": day[by_time]})
    frame["customer_id"] = customers["customer_id"].to_numpy()[frame["customer"]]
    frame["event_time"] = _instants(frame["day"])
    frame["channel"] = np.where(rng.random(len(frame)) < 0.2, "web", "store")
    return frame


def _products(seed: int) -> pd.DataFrame:
    """Draw the list prices of a few products per category; a piece costs about two thirds of its price."""
    names = np.repeat(list(_CATEGORIES), _PER_CATEGORY)
    number = np.tile(np.arange(1, _PER_CATEGORY + 1), len(_CATEGORIES)).astype(str)
    frame = pd.DataFrame(
        {"product_id": _ids("p", len(names)), "category": names, "brand": "brand " + pd.Series(number)}
    )
    frame["name"] = frame["category"] + " " + number
    frame["department"] = np.where(frame["category"].isin(["bags", "filters", "candles", "batteries"]), "home", "food")
    frame["list_price_cents"] = _stream(seed, "prices").integers(60, 900, len(frame))
    frame["unit_cost_cents"] = frame["list_price_cents"] * 13 // 20
    return frame


def _lines(seed: int, customers: pd.DataFrame, orders: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """Fill the baskets: one product of each category that is in; a sixth of the lines carry a tenth off."""
    rng = _stream(seed, "lines")
    order, category = np.nonzero(_baskets(_stream(seed, "baskets"), len(orders)))
    product = category * _PER_CATEGORY + rng.integers(0, _PER_CATEGORY, len(order))
    columns = ["order_id", "customer", "customer_id", "event_time", "day", "channel"]
    frame = orders[columns].take(order).reset_index(drop=True)
    frame["order"] = order
    frame["product_id"] = products["product_id"].to_numpy()[product]
    quantity = 1 + rng.poisson(customers["extra_pieces"].to_numpy()[frame["customer"]])
    gross = products["list_price_cents"].to_numpy()[product] * quantity
    discount = np.where(rng.random(len(frame)) < 1 / 6, gross // 10, 0)
    frame["quantity"], frame["amount_cents"], frame["discount_cents"] = quantity, gross - discount, discount
    frame["coupon_cents"], frame["currency"], frame["known_at"] = 0, "EUR", frame["event_time"]
    return frame


def _baskets(rng: np.random.Generator, n_orders: int) -> npt.NDArray[np.bool_]:
    """Draw which category is in which basket; each keeps its share, planted or not."""
    names, share = list(_CATEGORIES), np.array(list(_CATEGORIES.values()))
    draw = rng.random((n_orders, len(names)))
    baskets: npt.NDArray[np.bool_] = draw < share
    for rule in RULES:
        a, b = names.index(rule.antecedent), names.index(rule.consequent)
        together = rule.lift * share[b]
        alone = share[b] * (1 - rule.lift * share[a]) / (1 - share[a])
        baskets[:, b] = draw[:, b] < np.where(baskets[:, a], together, alone)
    return baskets


def _candidates(
    seed: int, customers: pd.DataFrame, lines: pd.DataFrame, start: int, effect_cents: float, *, is_randomised: bool
) -> pd.DataFrame:
    """Draw the arms among those who ordered before the start, and share the effect out by the visits to expect."""
    frame = customers[customers["born"] < start].copy()
    frame["propensity"] = 0.5
    if not is_randomised:
        recent = lines[lines["day"].between(start - 2 * WINDOW_DAYS, start, inclusive="left")]
        spent = recent.groupby("customer")["amount_cents"].sum().reindex(frame.index, fill_value=0)
        frame["propensity"] = 0.1 + 0.8 * (spent.rank(method="first") - 1) / max(len(frame) - 1, 1)
    frame["is_mailed"] = _stream(seed, "arms").random(len(frame)) < frame["propensity"]
    hazard = frame["hazard_per_day"]
    visits = frame["orders_per_day"] / hazard * -np.expm1(-hazard * WINDOW_DAYS)
    visits = visits.where(frame["left"] > start, 0.0)
    # Scaled on the mailed: their average is the effect asked for, by lot and by choice alike.
    frame["per_visit"] = effect_cents / max(visits[frame["is_mailed"]].mean(), 1e-9)
    frame["effect_cents"] = frame["per_visit"] * visits
    return frame.assign(arm=np.where(frame["is_mailed"], "mail", "control"))


def _bonus(seed: int, orders: pd.DataFrame, candidates: pd.DataFrame, start: int) -> Ints:
    """Return what the campaign adds to each order, in whole cents that are right on average."""
    per_visit = candidates.loc[candidates["is_mailed"], "per_visit"].reindex(orders["customer"], fill_value=0.0)
    cents = np.floor(per_visit.to_numpy() + _stream(seed, "bonus").random(len(orders))).astype(np.int64)
    return np.where(orders["day"].between(start, start + WINDOW_DAYS, inclusive="left"), cents, 0)


def _campaign_truth(candidates: pd.DataFrame, bonus: Ints, start: int) -> CampaignTruth:
    """Write down what the campaign did."""
    mailed = candidates[candidates["is_mailed"]]
    return CampaignTruth(
        campaign_id=_CAMPAIGN_ID,
        starts_at=START + timedelta(days=start),
        window_days=WINDOW_DAYS,
        effect_cents=float(mailed["effect_cents"].mean()),
        realised_effect_cents=float(bonus.sum() / len(mailed)),
        candidates=_arrow(candidates[["customer_id", "arm", "propensity", "effect_cents"]]),
    )


def _campaign(start: int, *, is_randomised: bool) -> pd.DataFrame:
    """Return the one campaign."""
    row = {
        "campaign_id": _CAMPAIGN_ID,
        "name": "Letter by lot" if is_randomised else "Letter to the best",
        "kind": "letter",
        "channel": "mail",
        "starts_on": START + timedelta(days=start),
        "ends_on": START + timedelta(days=start + WINDOW_DAYS - 1),
        "cost_per_contact_cents": 90,
        "is_randomised": is_randomised,
    }
    return pd.DataFrame([row])


def _contacts(candidates: pd.DataFrame, start: int, *, is_randomised: bool) -> pd.DataFrame:
    """Return who was mailed, and by lot also who was not, with the propensity."""
    frame = candidates if is_randomised else candidates[candidates["is_mailed"]].drop(columns="propensity")
    frame = frame.assign(campaign_id=_CAMPAIGN_ID, assigned_at=pd.Timestamp(START + timedelta(days=start)))
    return frame.assign(contacted_at=frame["assigned_at"].where(frame["is_mailed"]))


def _ids(prefix: str, n: int) -> list[str]:
    """Return ids that sort as they are numbered."""
    return [f"{prefix}{number:09d}" for number in range(1, n + 1)]


def _instants(days: pd.Series) -> pd.Series:
    """Return days since the start as instants, down to the second."""
    return pd.Series(np.datetime64(START, "us") + np.floor(days.to_numpy() * _DAY).astype("timedelta64[s]"))


def _table(name: str, frame: pd.DataFrame) -> pa.Table:
    """Return a raw table in its schema; columns that this world does not have are null."""
    schema = RAW_SCHEMAS[name]
    arrays = {column: pa.array(frame[column], from_pandas=True) for column in schema.names if column in frame}
    # An int64 could need more digits than the contract's decimals have.
    arrays |= {"quantity": arrays["quantity"].cast(pa.int32())} if "quantity" in arrays else {}
    columns = [arrays[f.name].cast(f.type) if f.name in arrays else pa.nulls(len(frame), f.type) for f in schema]
    return pa.table(columns, schema)


def _arrow(frame: pd.DataFrame) -> pa.Table:
    """Return a frame as a table of nothing but its columns."""
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
