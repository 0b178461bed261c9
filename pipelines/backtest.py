"""Backtest: past nights again, each with what was known then, against what has happened since.

Nothing is published: what the lake holds now is read through its two clocks, every past night trains, is judged by the
gate and scores, and its scores are compared with the truth of the horizon after it. Customers and products have no
clock, so they are those of today.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.errors import UserError
from data.lake import Lake, Snapshot
from data.private import write_private
from features.clock import shift
from features.extracts import known_span
from features.labels import eligible, under_contract
from features.matrix import collect
from features.registry import FEATURES
from features.views import KEYS
from models import churn, value
from models.baselines import RecencyBaseline
from models.churn import ChurnModel
from models.floors import THIRDS
from models.replay import RECENCY, SERVING, Economics, ageing, earnings, quality
from pipelines.catalogue import published
from pipelines.consent import statements, trainable
from pipelines.judge import decided, kinds_of
from pipelines.observe import LABELS, Dates, cut_dates, truth_of
from pipelines.report.document import plain
from pipelines.run import Run, local_midnight
from pipelines.settings import Settings
from pipelines.train import Split, churn_inputs, learned, split_by_time

_WRITTEN = ("quality", "ageing", "earnings", "decisions")


@dataclass(frozen=True, eq=False)
class Backtest:
    """How good the nights of a stretch of history would have been.

    Parameters
    ----------
    company, currency, run_key
        Whose lake it is, and which published night it was read from.
    horizon_days
        Length of the label windows: the one of that night, for all dates.
    from_on, to_on, every_days
        The local days that were asked for, and the step.
    economics
        What a contact costs and is thought to bring.
    quality, ageing, earnings
        Tables of ``models.replay``; ``as_of`` is the local day that begins with it, here as in ``decisions``.
    decisions
        ``as_of``, ``decision``, ``reason``, ``serving_since`` (null: no model served), ``n_trained``, ``n_scored``.
    skipped
        Nights that could not be replayed, and why.
    """

    company: str
    currency: str
    run_key: str
    horizon_days: int
    from_on: date
    to_on: date
    every_days: int
    economics: Economics
    quality: pd.DataFrame
    ageing: pd.DataFrame
    earnings: pd.DataFrame
    decisions: pd.DataFrame
    skipped: tuple[str, ...]


def backtest(settings: Settings, from_on: date, to_on: date, every_days: int | None = None) -> Backtest:
    """Replay the nights of a stretch of history and return how good they would have been.

    Parameters
    ----------
    settings
        Whose lake it is.
    from_on, to_on
        First and last local day at whose midnight a night is replayed.
    every_days
        Days from one replay to the next; null: one horizon.

    Raises
    ------
    UserError
        The days are in the wrong order, or none of them has both enough history before it and a horizon after it.
    LakeError
        Nothing was published.
    """
    lake = Lake(settings.lake_root)
    snapshot = published(settings, lake, None, ("horizons", "transactions"))
    history = _History(settings, lake, snapshot)
    every_days = every_days or history.horizon_days
    if to_on < from_on or every_days < 1:
        raise UserError(
            f"from {from_on} to {to_on} every {every_days} days", "a first and a last day", "turn them round"
        )
    days = [from_on + timedelta(days=n) for n in range(0, (to_on - from_on).days + 1, every_days)]
    nights, skipped = history.nights(days)
    if not nights:
        raise UserError(
            f"no night from {from_on} to {to_on} that can be replayed ({skipped[0]})",
            f"days with enough history before and {history.horizon_days} days of truth after them",
            "choose other days: `regulars check` shows how long the history is",
        )
    replayed = _Replay(settings, history, nights)
    return Backtest(
        company=settings.company.name,
        currency=settings.company.currency_symbol,
        run_key=snapshot.run_key,
        horizon_days=history.horizon_days,
        from_on=from_on,
        to_on=to_on,
        every_days=every_days,
        economics=replayed.economics,
        **replayed.tables(),
        skipped=tuple(skipped),
    )


def write(found: Backtest, settings: Settings, page: str) -> dict[str, Path]:
    """Write a backtest as a page and as JSON below the root, for its owner alone, and return where they are.

    Parameters
    ----------
    found
        The backtest.
    settings
        Whose root takes the files.
    page
        The page.
    """
    folder = settings.root / "backtests"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{found.from_on}--{found.to_on}-every-{found.every_days}"
    files = {"report": folder / f"{name}.html", "figures": folder / f"{name}.json"}
    write_private(files["report"], page.encode())
    write_private(files["figures"], json.dumps(in_json(found), ensure_ascii=False, indent=1).encode())
    return files


def in_json(found: Backtest) -> dict[str, Any]:
    """Return a backtest as values that JSON knows."""
    tables = {name: plain(getattr(found, name).to_dict("records")) for name in _WRITTEN}
    others = {name: getattr(found, name) for name in Backtest.__dataclass_fields__ if name not in _WRITTEN}
    return {**{name: plain(one) for name, one in others.items()}, **tables}


class _History:
    """What the lake holds now, read as it was known at past instants."""

    def __init__(self, settings: Settings, lake: Lake, snapshot: Snapshot) -> None:
        self.settings, self.snapshot = settings, snapshot
        self.timezone = settings.company.timezone
        versions = dict(snapshot.versions)
        self.run = Run(settings, snapshot.as_of, "", flow="backtest")
        self.tables = self.run.history(versions)
        horizons = lake.read("horizons", version=versions["horizons"], as_of=snapshot.as_of)
        self.horizon_days = int(horizons["horizon_days"][0].as_py())
        self.said = statements(settings, lake, versions.get("consents"))
        self.kinds = kinds_of(self.run, versions)

    def nights(self, days: Sequence[date]) -> tuple[dict[datetime, Dates], list[str]]:
        """Return where each night that can be replayed would have cut its history, and why others cannot be."""
        nights, skipped = {}, []
        for day in days:
            as_of = local_midnight(day, self.timezone)
            if shift(as_of, self.horizon_days + self.settings.churn.grace_days, self.timezone) > self.snapshot.as_of:
                skipped.append(f"{day}: its horizon of {self.horizon_days} days is not over")
                continue
            first_at = known_span(self.tables, as_of).to_pyarrow()["first_at"][0].as_py()
            try:
                night = Run(self.settings, as_of, "", flow="backtest")
                if first_at is not None:
                    nights[as_of] = cut_dates(night, self.horizon_days, first_at)
                    continue
                skipped.append(f"{day}: nothing was known yet")
            except UserError as error:
                skipped.append(f"{day}: {error.found}")
        return nights, skipped

    def known(self, instants: Sequence[datetime], names: Sequence[str]) -> pd.DataFrame:
        """Return the features of all customers at each instant, and whether they are eligible."""
        features = collect(self.tables, instants, self.timezone, names).to_pandas()
        churn = self.settings.churn
        asked = (
            under_contract(self.tables, instants, self.timezone)
            if churn.kind == "contract"
            else eligible(self.tables, instants, self.timezone, churn.eligible_within(self.horizon_days))
        )
        who = asked.to_pyarrow().to_pandas()
        rows: pd.DataFrame = features.merge(who, on=list(KEYS), validate="1:1")
        return rows.sort_values(["as_of", "customer_id"], kind="stable", ignore_index=True)

    def truth(self, instants: Sequence[datetime], observed_until: datetime) -> pd.DataFrame:
        """Return what happened in the horizon after each instant, by what was known at another."""
        known = truth_of(self.settings, self.tables, instants, self.horizon_days, observed_until)
        found: pd.DataFrame = known.to_pyarrow().select([*KEYS, *LABELS]).to_pandas()
        return found.astype({"has_churned": int})


class _Replay:
    """Trains, judges and scores night after night; a champion serves until the gate lets another one."""

    def __init__(self, settings: Settings, history: _History, nights: Mapping[datetime, Dates]) -> None:
        self.settings, self.history, self.nights = settings, history, nights
        money = settings.money
        self.economics = Economics(
            settings.decisions.max_contacts, float(money.cost_per_contact_cents), money.retain_save_share
        )
        known = tuple(FEATURES)
        self.names = tuple(
            sorted(
                {
                    *churn_inputs(settings.churn, known),
                    *value.SPEC.resolve(known),
                    churn.SPEC.baseline,
                    value.SPEC.baseline,
                }
                | {name for name in THIRDS if name in known}
            )
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables of ``Backtest``."""
        parts = list(self._nights())
        seed = self.settings.seed
        found = {
            "quality": quality(pd.concat([part["spoken"] for part in parts], ignore_index=True), seed=seed),
            "ageing": ageing(pd.concat([part["aged"] for part in parts], ignore_index=True), seed=seed),
            "earnings": earnings(pd.concat([part["listed"] for part in parts], ignore_index=True), self.economics),
            "decisions": pd.DataFrame([part["decision"] for part in parts]),
        }
        return {name: self._by_day(table) for name, table in found.items()}

    def _by_day(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with local days where it has the instants at which these begin."""
        made = table.copy()
        for name in {"as_of", "serving_since"} & set(table):
            days = [None if pd.isna(at) else self.history.run.local_day(at) for at in table[name]]
            made[name] = pd.Series(days, index=table.index, dtype="object")
        return made

    def _nights(self) -> Iterator[dict[str, Any]]:
        cuts = {at for dates in self.nights.values() for at in (*dates.training, dates.judging)}
        everybody = self.history.known(sorted(cuts | set(self.nights)), self.names)
        later = self.history.truth(sorted(self.nights), self.history.snapshot.as_of)
        made: dict[datetime, ChurnModel] = {}
        serving: datetime | None = None
        for as_of, dates in sorted(self.nights.items()):
            split = self._split(everybody, as_of, dates)
            leaving, worth = learned(split, self.history.horizon_days, self.settings.seed, self.settings.churn)
            made[as_of] = churn.choose(leaving)
            rule = RecencyBaseline(split.past, churn.SPEC.baseline)
            decision = self._decided(split, made[as_of], rule, None if serving is None else made[serving])
            serving = as_of if decision.decision == "promoted" else serving
            is_asked = (everybody["as_of"] == as_of) & everybody["is_eligible"]
            tonight = everybody[is_asked].merge(later, on=list(KEYS), validate="1:1")
            tonight = trainable(self.history.said, tonight, as_of)
            yield {
                "spoken": self._spoken(tonight, rule, None if serving is None else made[serving]),
                "aged": self._aged(tonight, made),
                "listed": self._listed(tonight, None if serving is None else made[serving], worth),
                "decision": {"as_of": as_of, "decision": decision.decision, "reason": decision.reason}
                | {"serving_since": serving, "n_trained": len(split.past), "n_scored": len(tonight)},
            }

    def _split(self, everybody: pd.DataFrame, as_of: datetime, dates: Dates) -> Split:
        cuts = [*dates.training, dates.judging]
        truth = self.history.truth(cuts, as_of)
        rows = everybody[everybody["as_of"].isin(cuts)].merge(truth, on=list(KEYS), validate="1:1")
        return split_by_time(trainable(self.history.said, rows, as_of))

    def _decided(self, split: Split, candidate: ChurnModel, rule: RecencyBaseline, former: ChurnModel | None) -> Any:
        judged: dict[str, Any] = {
            "metric": churn.SPEC.gate_metric,
            "y": split.judged["has_churned"],
            "candidate": candidate.predict(split.judged)["churn_probability"],
            "baseline": rule.predict(split.judged),
            "groups": split.judged["customer_id"],
            "rows": split.judged,
        }
        if former is not None:
            judged["champion"] = former.predict(split.judged)["churn_probability"]
        return decided(judged, self.history.kinds, self.settings.seed)[0]

    @staticmethod
    def _spoken(tonight: pd.DataFrame, rule: RecencyBaseline, model: ChurnModel | None) -> pd.DataFrame:
        said = {RECENCY: rule.predict(tonight)}
        if model is not None:
            said[SERVING] = model.predict(tonight)["churn_probability"].to_numpy()
        kept = tonight[[*KEYS, "has_churned"]]
        return pd.concat([kept.assign(speaker=name, churn_probability=p) for name, p in said.items()])

    @staticmethod
    def _aged(tonight: pd.DataFrame, made: Mapping[datetime, ChurnModel]) -> pd.DataFrame:
        kept = tonight[[*KEYS, "has_churned"]]
        parts = [
            kept.assign(trained_at=at, churn_probability=model.predict(tonight)["churn_probability"].to_numpy())
            for at, model in made.items()
        ]
        return pd.concat(parts).astype({"trained_at": tonight["as_of"].dtype})

    def _listed(self, tonight: pd.DataFrame, model: ChurnModel | None, worth: value.ValueModel) -> pd.DataFrame:
        """Return who would be first by which ranking; without a model that serves nobody is ranked by risk."""
        margin = np.asarray(worth.expected_cents(tonight)) * self.settings.money.margin_share
        listed = tonight[[*KEYS, "has_churned"]].assign(expected_value_cents=margin, by_recency=tonight["recency_days"])
        if model is None:
            return listed
        p = model.predict(tonight)["churn_probability"].to_numpy()
        return listed.assign(by_value_at_risk=p * margin, by_risk=p)
