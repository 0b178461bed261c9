"""Check: what a configuration's data can and cannot answer. Everything happens in a temporary DuckDB; no lake is used.

A broken contract stops a night, but it does not stop the check: it is a finding, and the rest goes on where it can.
"""
# ruff: noqa: S608 - every name goes through quoted(), every value through literal()

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from ibis.backends.duckdb import Backend

from data.contracts import CONTRACTS
from data.contracts.base import Delivery, DType, literal, quoted
from data.engine import connect
from data.errors import ConfigError, ContractError
from data.quarantine import Admission, admit
from data.sources import FilesSource, Loaded
from features.clock import local_date, shift
from models.readiness import Answer, answers
from models.readiness_facts import (
    BasketFacts,
    Contactable,
    Facts,
    LineFacts,
    TrialFacts,
    share_of,
)
from pipelines.check_customers import LABEL, contactable, label_facts
from pipelines.check_history import basket_facts, churn_facts
from pipelines.check_lines import LINES, VISITS, line_facts, write_visits
from pipelines.check_tables import Border, table_facts
from pipelines.check_trials import campaign_counts, campaign_trials, file_trials
from pipelines.plan import open_source
from pipelines.run import local_midnight
from pipelines.settings import Settings

_COLUMNS = ("order_id", "customer_id", "product_id", "event_time", "known_at", "local_time", "quantity")
_CENTS = ("amount_cents", "discount_cents", "coupon_cents")
_MOST_REASONS = 5
_NO_END = datetime(9000, 1, 1)


@dataclass(frozen=True)
class Readiness:
    """What a company's data are like and what they can answer.

    Parameters
    ----------
    company, currency
        Whose data, and the symbol of its money.
    as_of
        Naive UTC instant at which the data were judged.
    as_of_on
        Its local day: the first that is not known.
    is_own_end
        Whether ``as_of`` is the midnight after the last event, because none was given.
    facts
        Everything that was counted.
    answers
        One per question.
    """

    company: str
    currency: str
    as_of: datetime
    as_of_on: date
    is_own_end: bool
    facts: Facts
    answers: tuple[Answer, ...]


def check(settings: Settings, as_of: datetime | None = None) -> Readiness:
    """Load the sources, run the contracts and say what the data can answer. Nothing is written but temporary files.

    Parameters
    ----------
    settings
        The configuration.
    as_of
        Naive UTC instant at which the data are judged; null takes the local midnight after the last accepted event, so
        that old data are judged at their own end.

    Raises
    ------
    ConfigError
        The configuration names a source that is not there, or nothing in the data says when they end.
    LakeError
        Memory or disk ran out.
    """
    with TemporaryDirectory(prefix="regulars") as folder:
        engine = settings.engine
        backend = connect(engine.threads, engine.memory_limit, Path(folder) / "spill")
        try:
            return _checked(backend, settings, as_of)
        finally:
            backend.disconnect()


def _checked(backend: Backend, settings: Settings, as_of: datetime | None) -> Readiness:
    connection, timezone = backend.con, settings.company.timezone
    loaded, problems = _load(settings, connection)
    received_at = shift(as_of, 1, timezone) if as_of else _received_at(settings, loaded)
    delivery = Delivery(received_at, timezone=timezone, currencies=(settings.company.currency,), reject_limit=1.0)
    admitted, refused = _admit(connection, loaded, delivery)
    border = Border(loaded, admitted, problems | refused)
    end = as_of or _own_end(connection, admitted, received_at, timezone)
    facts = _facts(backend, settings, border, end)
    return Readiness(
        company=settings.company.name,
        currency=settings.company.currency_symbol,
        as_of=end,
        as_of_on=local_date(end, timezone),
        is_own_end=as_of is None,
        facts=facts,
        answers=answers(facts),
    )


def _load(settings: Settings, connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, Loaded], dict[str, str]]:
    """Load all tables; where one cannot be read, each by itself, so that the others can be judged."""
    source = open_source(settings)
    try:
        return dict(source.load(connection)), {}
    except ContractError as error:
        if settings.sources is None:
            return {}, {"transactions": str(error)}
    loaded: dict[str, Loaded] = {}
    problems: dict[str, str] = {}
    names = sorted(settings.sources.tables, key=lambda name: name != "transactions")
    for name in names:
        alone = settings.sources.model_copy(update=dict.fromkeys(set(settings.sources.tables) - {name}))
        try:
            # What lines tell of customers and products comes first, and gives way to what is delivered of them.
            loaded |= FilesSource(alone, settings.folder, settings.company.timezone).load(connection)
        except ContractError as error:
            problems[name] = str(error)
            loaded.pop(name, None)  # What was half read has taken the place of what lines tell.
    return loaded, problems


def _admit(
    connection: duckdb.DuckDBPyConnection, loaded: Mapping[str, Loaded], delivery: Delivery
) -> tuple[dict[str, Admission], dict[str, str]]:
    """Admit each table that can be; who refers to a refused one is not checked against it."""
    admitted: dict[str, Admission] = {}
    refused: dict[str, str] = {}
    for name, contract in CONTRACTS.items():
        if name in loaded:
            # A table without rows is one that the company does not keep: nothing can be missing from it.
            parents = {parent: one.accepted for parent, one in admitted.items() if one.reconciliation.n_rows}
            try:
                admitted[name] = admit(connection, contract, loaded[name].table, replace(delivery, parents=parents))
            except ContractError as error:
                refused[name] = str(error)
    return admitted, refused


def _received_at(settings: Settings, loaded: Mapping[str, Loaded]) -> datetime:
    """Return a day after the newest file was written: no file knows of a later event.

    Tables that come from no file have no such bound.
    """
    paths = {Path(path) for one in loaded.values() for path in one.files}
    if settings.sources is None and settings.source.path is not None:
        paths = set((settings.folder / settings.source.path).glob("*.parquet"))
    times = [path.stat().st_mtime for path in paths if path.exists()]
    if not times:
        return _NO_END
    newest = datetime.fromtimestamp(max(times), UTC).replace(tzinfo=None)
    return shift(newest, 1, settings.company.timezone)


def _own_end(
    connection: duckdb.DuckDBPyConnection, admitted: Mapping[str, Admission], received_at: datetime, timezone: str
) -> datetime:
    """Return the local midnight after the last accepted line, else after the last of any other event.

    Raises
    ------
    ConfigError
        There is no event, and no file whose age would do.
    """
    moments: dict[str, datetime] = {}
    for name, one in admitted.items():
        time = CONTRACTS[name].time
        if time and {column.name: column.dtype for column in CONTRACTS[name].columns}[time] is DType.INSTANT:
            ((last,),) = connection.execute(f"SELECT max({quoted(time)}) FROM {quoted(one.accepted)}").fetchall()
            moments |= {name: last} if last is not None else {}
    last = moments.get("transactions") or max(moments.values(), default=None)
    if last is None and received_at == _NO_END:
        raise ConfigError("no event that says when the data end", "a day at which to judge them", "give --as-of")
    # Without events the files' own day must do: nothing is judged by it but consents.
    day = local_date(last, timezone) if last is not None else local_date(shift(received_at, -2, timezone), timezone)
    return local_midnight(date.fromordinal(day.toordinal() + 1), timezone)


def _facts(backend: Backend, settings: Settings, border: Border, as_of: datetime) -> Facts:
    connection, admitted = backend.con, border.admitted
    lines = _lines(connection, admitted, as_of)
    churn = baskets = None
    if lines is not None:
        write_visits(connection, settings.company.timezone)
        ((first_at,),) = connection.execute(f"SELECT min(event_time) FROM {LINES}").fetchall()
        churn = churn_facts({"transactions": backend.table(VISITS)}, settings, as_of, first_at)
        if "products" in admitted:
            baskets = _baskets(backend, settings, admitted["products"].accepted, as_of)
    has_campaigns = "campaigns" in admitted
    n_campaigns, n_ended = campaign_counts(connection, as_of) if has_campaigns else (0, 0)
    return Facts(
        tables=table_facts(connection, border),
        lines=lines,
        churn=churn,
        label=label_facts(connection, _label_name(settings)) if "customers" in admitted else None,
        baskets=baskets,
        n_campaigns=n_campaigns,
        n_ended_campaigns=n_ended,
        trials=_trials(connection, settings, admitted, as_of, has_lines=lines is not None),
        contactable=_contactable(connection, settings, border, as_of),
    )


def _baskets(backend: Backend, settings: Settings, accepted: str, as_of: datetime) -> BasketFacts:
    """Copy the catalogue once, one row per product, and count what is bought together."""
    backend.con.execute(
        "CREATE OR REPLACE TABLE checked_products AS SELECT product_id, max(category) AS category, max(name) AS name "
        f"FROM {quoted(accepted)} GROUP BY product_id"
    )
    tables = {"transactions": backend.table(LINES), "products": backend.table("checked_products")}
    return basket_facts(backend, tables, as_of, settings.baskets.min_support)


def _lines(
    connection: duckdb.DuckDBPyConnection, admitted: Mapping[str, Admission], as_of: datetime
) -> LineFacts | None:
    """Copy the accepted lines that were known at ``as_of``, once, and count what is in them."""
    if "transactions" not in admitted:
        return None
    one = admitted["transactions"]
    columns = ", ".join((*_COLUMNS, *_CENTS, "store_id", "CAST(local_time AS DATE) AS local_on"))
    connection.execute(
        f"CREATE OR REPLACE TABLE {LINES} AS SELECT {columns} FROM {quoted(one.accepted)} "
        f"WHERE event_time < {literal(as_of)} AND known_at < {literal(as_of)}"
    )
    unknown = [result for result in one.results if result.expectation == "unknown product"]
    return line_facts(connection, share_of(unknown[0].n_failed, unknown[0].n_rows) if unknown else None)


def _label_name(settings: Settings) -> str:
    """Return what the company calls its label."""
    customers = settings.sources.customers if settings.sources else None
    return customers.label.column if customers is not None and customers.label is not None else LABEL


def _trials(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    admitted: Mapping[str, Admission],
    as_of: datetime,
    *,
    has_lines: bool,
) -> tuple[TrialFacts, ...]:
    found = file_trials(connection, settings) if "trials" in admitted else ()
    if {"campaigns", "contacts", "customers"} <= set(admitted):
        found += campaign_trials(connection, settings, as_of, has_lines=has_lines)
    return found


def _contactable(
    connection: duckdb.DuckDBPyConnection, settings: Settings, border: Border, as_of: datetime
) -> tuple[Contactable, ...]:
    if "customers" not in border.admitted:
        return ()
    ids = connection.execute("SELECT DISTINCT customer_id FROM customers_accepted ORDER BY 1").fetchall()
    said = border.admitted.get("consents")
    is_delivered = said is not None and said.reconciliation.n_rows > 0
    consents = connection.table(said.accepted).to_arrow_table() if said is not None and is_delivered else None
    assumed = frozenset(settings.decisions.assumed_consent)
    return contactable([str(name) for (name,) in ids], consents, as_of, assumed)
